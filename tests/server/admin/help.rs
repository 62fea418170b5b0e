//! Help, manual pages, completions, and the JSON errors for wrong command lines.

use std::fs;

use crate::admin::program::{Place, Ran};

fn run(place: &Place, arguments: &[&str]) -> Ran {
    place.run_elsewhere(arguments, &[("COLUMNS", "80")])
}

#[test]
fn the_help_has_own_options_first_and_fits_the_terminal() {
    let place = Place::new();
    let help = run(&place, &["token", "create", "--help"]).expect(0).stdout;
    let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text:?} is not in {help}"));
    let option = |name: &str| at(&format!("\n      --{name} <"));
    let own = [at("Arguments:"), at("\nOptions:"), option("name"), option("scopes"), option("expires")];
    assert!(own.is_sorted(), "{help}");
    let common = [own[4], at("Global options:"), at("\n      --json "), at("Examples:")];
    assert!(common.is_sorted() && own[4] < at("Server:"), "{help}");
    for command in [&["token", "create"][..], &["serve"], &["rebuild"], &[]] {
        for flag in ["-h", "--help"] {
            let help = run(&place, &[command, &[flag]].concat()).expect(0).stdout;
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
            assert!(!help.contains('`'), "{help}");
        }
    }
    assert!(run(&place, &["--help"]).stdout.contains("OpenAPI document"));
}

#[test]
fn manual_pages_can_be_copied_from_and_name_codes_and_files() {
    let place = Place::new();
    let pages = place.directory.path().join("man1");
    run(&place, &["man", pages.to_str().unwrap()]).expect(0);
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    let create = page("stowage-token-create.1");
    for part in [
        ".TH \"STOWAGE\\-TOKEN\\-CREATE\" 1 \"\" \"Stowage ",
        "\n\\fBstowage token create\\fR [\\fIOPTIONS\\fR] \\fB\\-\\-name\\fR \\fINAME\\fR \\fB\\-\\-scopes\\fR \\fISCOPES\\fR \
         \\fIUSER\\fR\n",
        "\n.nh\n",
        ".SH EXAMPLES\n.nf\nstowage token create hanna \\-\\-name pc \\-\\-scopes read_registry",
        "\n.fi\n.SH SEE ALSO\n\\fBstowage\\fR(1), \\fBstowage\\-token\\fR(1)\n",
        ".SH EXIT STATUS\n",
        ".SH FILES\n.TP\n\\fB/etc/stowage/stowage.toml\\fR\n",
    ] {
        assert!(create.contains(part), "{part:?} is not in {create}");
    }
    assert!(!create.contains("EXTRA"), "{create}");
    assert!(page("stowage-rebuild.1").contains(".TP\n\\fB7\\fR\nrecovered, but something is missing"));
    let program = page("stowage.1");
    assert!(program.contains("\\fBSTOWAGE__TABLE__KEY\\fR") && program.contains("\\fB130\\fR"), "{program}");
    for name in fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name()) {
        let text = page(name.to_str().unwrap());
        assert!(text.contains(".SH SEE ALSO") && text.contains(".SH EXAMPLES"), "{text}");
        assert!(!text.contains('`'), "{text}");
    }
}

#[test]
fn completions_offer_scopes_and_no_files_for_names() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&place, &["completions", shell]).expect(0).stdout;
        for scope in ["read_registry", "write_registry", "delete_registry", "read_api"] {
            assert!(script.contains(scope), "{shell} without {scope}");
        }
        assert!(!script.contains("fsck-child"), "{shell}");
    }
    let bash = run(&place, &["completions", "bash"]).expect(0).stdout;
    let function = bash.split("\n        stowage__subcmd__token__subcmd__create)\n").nth(1);
    let name = function.unwrap().split("--name)").nth(1).unwrap().split(";;").next().unwrap();
    assert!(!name.contains("compgen -f"), "{name}");
}

#[test]
fn a_wrong_command_line_is_a_complete_document() {
    let place = Place::new();
    let document = |arguments: &[&str]| run(&place, &[arguments, &["-o", "json"]].concat()).expect(2).json();
    let missing = document(&["token", "create"]);
    assert_eq!(missing["command"], "token create");
    assert_eq!(
        missing["error"]["title"],
        "the following required arguments were not provided: --name <NAME>, --scopes <SCOPES>, <USER>"
    );
    assert_eq!(missing["error"]["fix"], "see stowage token create --help");
    let unknown = document(&["repo", "lst"]);
    assert_eq!((&unknown["command"], &unknown["error"]["code"]), (&"repo".into(), &"USAGE".into()));
    assert!(unknown["error"]["fix"].as_str().unwrap().contains("'list'"), "{unknown}");
}
