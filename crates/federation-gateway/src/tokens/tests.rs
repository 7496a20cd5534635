//! Tokens: what opens, what does not, and what is kept.

use super::*;
use mosaic_store::MemoryStore;

fn tokens() -> Tokens {
    Tokens::new(Arc::new(MemoryStore::default()), Arc::new(SystemClock))
}

#[tokio::test]
async fn a_token_opens_what_its_role_allows_until_it_is_revoked() {
    let tokens = tokens();
    let name: Alias = "ci".parse().unwrap();
    let secret = tokens.create(&name, Role::Viewer).await.unwrap();
    let header = format!("Bearer {secret}");
    let header = Some(header.as_str());
    assert_eq!(
        tokens
            .authenticate(header, Role::Viewer)
            .await
            .unwrap()
            .name,
        name
    );
    let refusal = tokens.authenticate(header, Role::Admin).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::RoleInsufficient);
    assert!(matches!(
        tokens.create(&name, Role::Admin).await,
        Err(TokenError::Taken(_))
    ));
    assert!(tokens.revoke(&name).await.unwrap() && !tokens.revoke(&name).await.unwrap());
    let refusal = tokens.authenticate(header, Role::Viewer).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::TokenInvalid);
}

#[tokio::test]
async fn a_name_is_given_once_also_to_two_at_a_time_and_free_again_when_revoked() {
    let tokens = tokens();
    let name: Alias = "ci".parse().unwrap();
    let made = tokio::join!(
        tokens.create(&name, Role::Admin),
        tokens.create(&name, Role::Viewer)
    );
    assert_eq!([made.0.is_ok(), made.1.is_ok()], [true, false]);
    assert_eq!(tokens.list().await.unwrap().len(), 1);
    assert!(tokens.revoke(&name).await.unwrap());
    assert!(tokens.list().await.unwrap().is_empty());
    tokens.create(&name, Role::Viewer).await.unwrap();
}

#[tokio::test]
async fn nothing_but_the_whole_secret_opens() {
    let tokens = tokens();
    let secret = tokens
        .create(&"ci".parse().unwrap(), Role::Admin)
        .await
        .unwrap();
    let wrong = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer mst_",
        &secret,
        &format!("bearer {secret}"),
        &format!("Bearer {secret}0"),
    ];
    for header in wrong {
        let refusal = tokens
            .authenticate(Some(header), Role::Viewer)
            .await
            .unwrap_err();
        assert_eq!(refusal.reason, Reason::TokenInvalid, "{header:?}");
    }
    assert!(tokens.authenticate(None, Role::Viewer).await.is_err());
}

#[tokio::test]
async fn no_secret_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::of(folder.path()).unwrap();
    let secret = tokens
        .create(&"ci".parse().unwrap(), Role::Admin)
        .await
        .unwrap();
    drop(tokens);
    let bare = secret.strip_prefix(PREFIX).unwrap();
    for file in std::fs::read_dir(folder.path().join("store")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(
            !bytes
                .windows(bare.len())
                .any(|window| window == bare.as_bytes())
        );
    }
}
