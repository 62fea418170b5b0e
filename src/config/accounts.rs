//! Names of the users and groups of this computer.

use std::fs;

/// The name of a user, or the number where the system has no name for it.
pub fn user_name(uid: u32) -> String {
    name_in("/etc/passwd", uid).unwrap_or_else(|| uid.to_string())
}

/// The name of a group.
pub fn group_name(gid: u32) -> Option<String> {
    name_in("/etc/group", gid)
}

/// The user as an argument of sudo's option `-u`: the name, or the number, quoted for a shell.
pub fn sudo_user(uid: u32) -> String {
    name_in("/etc/passwd", uid).unwrap_or_else(|| format!("'#{uid}'"))
}

fn name_in(list: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    fs::read_to_string(list).ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_have_their_names_and_unknown_ones_their_numbers() {
        assert_eq!((user_name(0), sudo_user(0)), ("root".to_owned(), "root".to_owned()));
        assert_eq!(group_name(0).as_deref(), Some("root"));
        let unknown = 4_000_000_000;
        assert_eq!((user_name(unknown), sudo_user(unknown)), (unknown.to_string(), format!("'#{unknown}'")));
        assert_eq!(group_name(unknown), None);
    }
}
