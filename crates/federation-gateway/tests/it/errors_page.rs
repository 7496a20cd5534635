//! `docs/errors.md` and the code say the same.

use mosaic_common::Reason;
use std::collections::BTreeMap;

#[test]
fn every_reason_stands_in_the_errors_page_with_its_status_and_nothing_else_does() {
    let page = include_str!("../../../../docs/errors.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut told = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let [reason, code, meaning, what_to_do, ""] = cells[..] else {
            panic!("not four cells: {row}");
        };
        assert!(meaning.len() > 10 && what_to_do.len() > 5, "{row}");
        assert!(
            told.insert(reason, code.to_owned()).is_none(),
            "{reason} twice"
        );
    }
    let name = |reason: &Reason| upper_snake(&format!("{:?}", reason.code()));
    let known: BTreeMap<_, _> = Reason::ALL
        .iter()
        .map(|reason| (reason.as_str(), name(reason)))
        .collect();
    assert_eq!(told, known);
}

/// `NotFound` as gRPC writes it: `NOT_FOUND`.
fn upper_snake(name: &str) -> String {
    let mut text = String::new();
    for (place, letter) in name.char_indices() {
        if place > 0 && letter.is_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}
