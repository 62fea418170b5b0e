use super::*;
use crate::config::schema::settings;

fn problems(text: &str) -> Vec<String> {
    match parse(text, &settings()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(told).collect(),
    }
}

fn told(problem: &FileProblem) -> String {
    let fix = if problem.fix.is_empty() { String::new() } else { format!("\n  fix:   {}", problem.fix) };
    problem.excerpt() + &fix
}

#[track_caller]
fn one(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].clone()
}

#[test]
fn an_unknown_key_is_shown_in_its_line_with_what_was_meant() {
    let text = format!("{}[server]\nprot = 5001\n", "# a comment\n".repeat(12));
    assert_eq!(
        one(&text),
        "  --> line 14, column 1\n   \
           14 | prot = 5001\n      \
              | ^^^^ unknown key `prot` in [server]\n  \
           fix:   use listen instead: listen = [\"127.0.0.1:5001\"]"
    );
}

#[test]
fn what_a_file_has_twice_is_put_together() {
    assert_eq!(
        one("# a comment\n[server]\n\n[log]\n[server]\nlisten = []\n"),
        "  --> line 5, column 2\n    \
           5 | [server]\n      \
             |  ^^^^^^ duplicate key\n  \
           fix:   line 2 begins [server] already: write the settings there"
    );
    let once = "a file has each table and each key once: put the two together";
    assert!(one("[log]\nlevel = \"info\"\nlevel = \"warn\"\n").ends_with(once));
}

#[test]
fn a_misspelt_key_is_suggested() {
    let fix =
        |text: &str| one(text).rsplit_once("fix:   ").map(|(_, fix)| fix.to_owned()).unwrap_or_default();
    assert_eq!(fix("[server]\nlisten_ = []"), "did you mean `listen`?");
    assert_eq!(fix("[sever]\nlisten = []"), "did you mean [server]?");
    assert_eq!(fix("[storage]\ngcc = {}"), "did you mean [storage.gc]?");
    assert_eq!(fix("[server]\nport = 80"), "use listen instead: listen = [\"127.0.0.1:80\"]");
    assert_eq!(fix("[server]\nport = \"x\""), "use listen instead: listen = [\"127.0.0.1:5000\"]");
    assert_eq!(fix("[server]\ndata_dir = \"/x\""), "`data_dir` belongs in [storage]");
    assert_eq!(fix("listen = []"), "`listen` belongs in [server]");
    assert_eq!(fix("[gc]\npromise = \"6h\""), "it is called [storage.gc]");
    assert_eq!(fix("[auth]\ninitial_admin_password = 1"), "did you mean `initial_admin_password_file`?");
    assert_eq!(fix("[log]\ncolour = true"), "the keys of [log] are: access, format, level");
    assert_eq!(
        fix("[webhooks]\n"),
        "the tables are: auth, limits, log, registry, scheduler, server, storage"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_told_what_to_write() {
    let fix = |text: &str| one(text).rsplit_once("fix:   ").map(|(_, fix)| fix.to_owned());
    assert_eq!(
        fix("[server]\nlisten = \"0.0.0.0:5000\"").as_deref(),
        Some("write listen = [\"0.0.0.0:5000\"]")
    );
    assert_eq!(fix("[auth]\nanonymous_pull = \"yes\"").as_deref(), Some("write anonymous_pull = true"));
}

#[test]
fn a_secret_that_is_not_in_a_file_is_not_shown() {
    for text in [
        "[auth]\ninitial_admin_password = \"canary\"",
        "[auth]\ninitial_admin_password = canary",
        "password = \"canary\"",
        "[auth]\nAPI_Token=\"canary\"",
    ] {
        let told = one(text);
        assert!(!told.contains("canary") && told.contains("= ..."), "{told}");
    }
    assert!(one("[auth]\ntoken_ttl = \"x\"").contains("token_ttl = \"x\""));
}

#[test]
fn every_unknown_name_is_reported_in_the_order_of_the_lines() {
    let problems =
        problems("[storage]\npath = \"/x\"\ngc.promis = \"1h\"\n\n[logs]\n\n[log]\nlevl = \"info\"");
    let places: Vec<&str> = problems.iter().map(|problem| problem.lines().next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "  --> line 2, column 1",
            "  --> line 3, column 4",
            "  --> line 5, column 2",
            "  --> line 8, column 1"
        ]
    );
}

#[test]
fn a_wrong_value_is_marked_where_it_is() {
    assert_eq!(
        one("[storage.gc]\npromise = \"6 moons\""),
        "  --> line 2, column 11\n    \
            2 | promise = \"6 moons\"\n      \
              |           ^^^^^^^^^ storage.gc.promise: `6 moons` is not a duration: write a whole number and \
         s, m, h, d or w, such as 30s, 15m or 7d, or 0s"
    );
    assert_eq!(
        one("[server]\nlisten = [\"127.0.0.1:5000\", \"localhost:5001\"]"),
        "  --> line 2, column 10\n    \
            2 | listen = [\"127.0.0.1:5000\", \"localhost:5001\"]\n      \
              |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ server.listen: `localhost:5001` is not an address and \
         a port; write `127.0.0.1:5001`"
    );
    let excerpt = one("[server]\nlisten = \"127.0.0.1:5000\"");
    assert!(excerpt.contains("server.listen: \"127.0.0.1:5000\" is text; expected a list"), "{excerpt}");
    let excerpt = one("[log]\nformat = \"xml\"");
    assert!(excerpt.contains("log.format: `xml` is not a format; use auto, json or text"), "{excerpt}");
    let excerpt = one("[server]\nworkers = -1");
    assert!(
        excerpt.contains("server.workers: `-1` is out of range; expected a whole number of 0 or more"),
        "{excerpt}"
    );
}

#[test]
fn a_value_in_the_place_of_a_table_is_refused() {
    assert!(
        one("server = 5").ends_with("`server` is a table\n  fix:   write its keys below a line [server]")
    );
    assert!(one("[[server]]\n").contains("`server` is a table"));
    assert!(one("[server.listen]\nx = 1").contains("expected a list"));
    assert!(one("\"server.listen\" = []").contains("unknown field `server.listen`"));
}

#[test]
fn broken_toml_is_refused_with_its_place() {
    for (text, place) in [
        ("[server\n", "line 1, column 8"),
        ("[server]\nlisten = [\"a\"\nworkers = 1", "line 3"),
        ("[log]\nlevel = \"info\"\nlevel = \"warn\"", "line 3, column 1"),
        ("x", "line 1"),
    ] {
        let excerpt = one(text);
        assert!(excerpt.starts_with(&format!("  --> {place}")), "{excerpt}");
    }
}

#[test]
fn columns_count_characters_and_lines_may_end_anywhere() {
    let excerpt = one("[log]\r\nlevel = \"ä\"; x\r\n");
    assert!(excerpt.starts_with("  --> line 2, column 12\n    2 | level = \"ä\"; x\n"), "{excerpt}");
    assert!(one("[log]\nlevel = \"").starts_with("  --> line 2, column 1"));
}

#[test]
fn the_line_of_every_key_is_known() {
    let layer =
        parse("# x\n[server]\nworkers = 2\n\n[storage]\ngc = { promise = \"2h\" }\n", &settings()).unwrap();
    let lines: Vec<(&str, usize)> = layer.lines.iter().map(|(key, line)| (key.as_str(), *line)).collect();
    assert_eq!(lines, [("server.workers", 3), ("storage.gc.promise", 6)]);
}
