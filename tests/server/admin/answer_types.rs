//! The types of the wire as a client has them: each must hold the answers that the document describes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stowage::wire::{
    CompactStatus, CreatedToken, Damaged, DeletionPlan, Dropped, GcPlan, GcStatus, Job, JobLine, List,
    Manifest, Pin, Problem, Repository, Schedule, ScrubStatus, System, Tag, TagSize, Token, TrashEntry, User,
};

/// The answer of a newer server: every object in it has one more field.
fn newer(answer: &Value) -> Value {
    match answer {
        Value::Array(items) => items.iter().map(newer).collect(),
        Value::Object(fields) => {
            let mut fields: serde_json::Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), newer(value))).collect();
            fields.insert("of_a_newer_server".to_owned(), json!([1]));
            Value::Object(fields)
        }
        other => other.clone(),
    }
}

/// Whether a type keeps everything of an answer when it parses it, and parses the same from the answer of a
/// newer server.
fn holds<T: Serialize + DeserializeOwned>(answer: &Value) -> bool {
    let reads = |from: Value| serde_json::from_value::<T>(from).is_ok_and(|read| json!(read) == *answer);
    reads(answer.clone()) && reads(newer(answer))
}

/// Whether the type of a component of the document can hold an answer.
pub(crate) fn type_holds(name: &str, answer: &Value) -> bool {
    let holds = match name {
        "Biggest" | "Repositories" => holds::<List<Repository>>,
        "CompactStatus" => holds::<CompactStatus>,
        "CreatedToken" => holds::<CreatedToken>,
        "DeletionPlan" => holds::<DeletionPlan>,
        "Dropped" => holds::<Dropped>,
        "GcPlan" => holds::<GcPlan>,
        "GcStatus" => holds::<GcStatus>,
        "Job" => holds::<Job>,
        "JobLog" => holds::<List<JobLine>>,
        "Jobs" => holds::<List<Job>>,
        "Manifest" => holds::<Manifest>,
        "Manifests" => holds::<List<Manifest>>,
        "Pin" => holds::<Pin>,
        "Pins" => holds::<List<Pin>>,
        "Problem" => holds::<Problem>,
        "Quarantine" => holds::<List<Damaged>>,
        "Repository" => holds::<Repository>,
        "Schedule" => holds::<Schedule>,
        "Schedules" => holds::<List<Schedule>>,
        "ScrubStatus" => holds::<ScrubStatus>,
        "System" => holds::<System>,
        "Tag" => holds::<Tag>,
        "TagSizes" => holds::<List<TagSize>>,
        "Tags" => holds::<List<Tag>>,
        "Token" => holds::<Token>,
        "Tokens" => holds::<List<Token>>,
        "Trash" => holds::<List<TrashEntry>>,
        "TrashEntry" => holds::<TrashEntry>,
        "User" => holds::<User>,
        "Users" => holds::<List<User>>,
        other => panic!("{other} has no type"),
    };
    holds(answer)
}
