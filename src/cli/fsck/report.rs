//! What a check found, whoever made it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::cli::output;
use crate::cli::visible::one_line;

/// What was found, whatever fields it has.
pub(in crate::cli) struct Report {
    checked: Map<String, Value>,
    problems: Vec<Value>,
    notes: Vec<Value>,
}

impl From<Value> for Report {
    fn from(mut report: Value) -> Self {
        let mut list = |name: &str| match report[name].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let (problems, notes) = (list("problems"), list("notes"));
        let checked = match report["checked"].take() {
            Value::Object(checked) => checked,
            _ => Map::new(),
        };
        Self { checked, problems, notes }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub(in crate::cli) const fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// As a JSON document has it.
    pub(in crate::cli) fn data(&self) -> Value {
        json!({"checked": self.checked, "problems": self.problems, "notes": self.notes})
    }

    /// As people read it.
    pub(in crate::cli) fn text(&self) -> String {
        const COLUMNS: [&str; 6] = ["severity", "kind", "repository", "digest", "expected", "found"];
        let mut lines = Vec::new();
        if !self.checked.is_empty() {
            let checked =
                self.checked.iter().map(|(what, count)| format!("{} {}", cell(count), one_line(what)));
            lines.push(format!("checked: {}", checked.collect::<Vec<_>>().join(", ")));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {}", one_line(&cell(note)))));
        if self.problems.is_empty() {
            lines.push("all is well".to_owned());
            return lines.join("\n");
        }
        let row = |problem: &Value| COLUMNS.map(|column| cell(&problem[column])).to_vec();
        let rows: Vec<Vec<String>> = self.problems.iter().map(row).collect();
        lines.push(output::table(&COLUMNS.map(str::to_uppercase).each_ref().map(String::as_str), &rows));
        let images: BTreeSet<&str> = self
            .problems
            .iter()
            .filter_map(|problem| problem["images"].as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !images.is_empty() {
            lines.push("push these images again:".to_owned());
            lines.extend(images.into_iter().map(|image| format!("  {}", one_line(image))));
        }
        let problems = if rows.len() == 1 { "problem" } else { "problems" };
        lines.push(format!("{} {problems}", rows.len()));
        lines.join("\n")
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(problems: &Value) -> Report {
        Report::from(json!({
            "checked": {"blobs": 10, "repositories": 2},
            "problems": problems,
            "notes": ["1 young file without a row"],
        }))
    }

    #[test]
    fn a_clean_store_is_said_to_be_well() {
        assert_eq!(
            report(&json!([])).text(),
            "checked: 10 blobs, 2 repositories\nnote: 1 young file without a row\nall is well"
        );
    }

    #[test]
    fn problems_are_a_table() {
        let problems = json!([
            {"severity": "damage", "kind": "blob_missing", "repository": "team/app", "digest": "sha256:ab",
             "expected": 1024, "found": null},
        ]);
        assert_eq!(
            report(&problems).text(),
            "checked: 10 blobs, 2 repositories\n\
             note: 1 young file without a row\n\
             SEVERITY  KIND          REPOSITORY  DIGEST     EXPECTED  FOUND\n\
             damage    blob_missing  team/app    sha256:ab  1024\n\
             1 problem"
        );
        assert_eq!(report(&problems).data()["problems"], problems);
    }
}
