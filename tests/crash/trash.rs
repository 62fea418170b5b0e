//! The trash at the admin socket.

use stowage::wire::{List, OpenEnum, TrashEntry, TrashKind};

use crate::exchange::Answer;
use crate::pieces::Piece;

/// The deletions in the trash, or in one repository. `ask` sends a request for a path; it returns nothing
/// when there is no list.
pub(crate) fn listed(
    repository: Option<&str>,
    mut ask: impl FnMut(&str) -> Option<Answer>,
) -> Option<Vec<TrashEntry>> {
    let first = match repository {
        Some(name) => format!("/api/v1/trash?limit=500&repository={name}"),
        None => "/api/v1/trash?limit=500".to_owned(),
    };
    let (mut found, mut path) = (Vec::new(), first.clone());
    loop {
        let answer = ask(&path)?;
        let page: List<TrashEntry> = serde_json::from_slice(&answer.body).expect("a list of deletions");
        found.extend(page.items);
        let Some(cursor) = page.next_cursor else { return Some(found) };
        path = format!("{first}&cursor={cursor}");
    }
}

/// The deletion of a piece.
pub(crate) fn entry_of<'e>(entries: &'e [TrashEntry], piece: &Piece) -> Option<&'e TrashEntry> {
    entries.iter().find(|entry| {
        let is_repository = entry.kind == OpenEnum::Known(TrashKind::Repository);
        entry.repository == piece.repository
            && if piece.is_repository { is_repository } else { entry.tags.contains(&piece.tag) }
    })
}

/// The path that restores a deletion.
pub(crate) fn restoring(entry: &TrashEntry) -> String {
    format!("/api/v1/trash/{}/restore", entry.id)
}
