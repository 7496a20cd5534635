//! Where in a TOML file a fault is: its line and its field, for whoever has to put it right. Pure.
//!
//! What stands there is not told: it may be a secret.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The line and the field at an offset: `line 3: times.drain_seconds: `; the line alone where no
/// field is there, and nothing where the offset is not known.
#[must_use]
pub fn of_offset(text: &str, offset: Option<usize>) -> String {
    let Some(before) = offset.and_then(|offset| text.get(..offset)) else {
        return String::new();
    };
    let line = line_after(before);
    let inside = fields(text)
        .into_iter()
        .find(|field| field.span.contains(&before.len()));
    match inside {
        Some(field) => format!("line {line}: {}: ", field.name),
        None => format!("line {line}: "),
    }
}

/// The line of a field, such as `line 7: `; nothing if the file does not hold it.
#[must_use]
pub fn of_field(text: &str, name: &str) -> String {
    let found = fields(text).into_iter().find(|field| field.name == name);
    let before = found.and_then(|field| text.get(..field.span.start));
    before.map_or_else(String::new, |before| {
        format!("line {}: ", line_after(before))
    })
}

fn line_after(before: &str) -> usize {
    before.matches('\n').count() + 1
}

/// A field of a file.
struct Field {
    /// Its tables and its key, with dots between.
    name: String,
    /// From the start of its key to the end of its value; of a table, its own name.
    span: Range<usize>,
}

/// Every field; none if the text is no TOML. Inner ones come before the tables they are in.
fn fields(text: &str) -> Vec<Field> {
    let mut found = Vec::new();
    if let Ok(whole) = DeTable::parse(text) {
        gather(whole.get_ref(), "", &mut found);
    }
    found
}

fn gather(table: &DeTable<'_>, outer: &str, found: &mut Vec<Field>) {
    for (key, value) in table {
        let name = match outer {
            "" => key.get_ref().to_string(),
            outer => format!("{outer}.{}", key.get_ref()),
        };
        let key = key.span();
        let end = match value.get_ref() {
            DeValue::Table(inner) => {
                gather(inner, &name, found);
                key.end
            }
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        gather(inner, &name, found);
                    }
                }
                value.span().end.max(key.end)
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => value.span().end,
        };
        let span = key.start..end;
        found.push(Field { name, span });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = 'a'\nlist = [1, 2]\n\n[times]\ndrain = 'x'\n\n\
                        [[connection]]\nid = 'one'\n[connection.grant]\nmax = 0\n";

    #[test]
    fn an_offset_is_told_by_line_and_field() {
        for (part, place) in [
            ("'a'", "line 1: name: "),
            ("2]", "line 2: list: "),
            ("'x'", "line 5: times.drain: "),
            ("'one'", "line 8: connection.id: "),
            ("0\n", "line 10: connection.grant.max: "),
        ] {
            assert_eq!(of_offset(TEXT, TEXT.find(part)), place, "{part}");
        }
        assert_eq!(of_offset(TEXT, None), "");
        assert_eq!(of_offset("[a\nb", Some(3)), "line 2: ");
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        assert_eq!(of_field(TEXT, "times.drain"), "line 5: ");
        assert_eq!(of_field(TEXT, "times"), "line 4: ");
        assert_eq!(of_field(TEXT, "connection.grant.max"), "line 10: ");
        assert_eq!(of_field(TEXT, "ghost"), "");
        assert_eq!(of_field("[a", "a"), "");
    }
}
