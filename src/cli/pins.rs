//! `stowage gc pin`, `unpin`, `pins`: hold everything against garbage collection.

use serde_json::json;

use super::client::{Api, Received, segment};
use super::context::Context;
use super::errors::{Exit, Failure};
use super::output;
use super::visible::one_line;
use super::words::{ago, distance, when};
use crate::model::units::HumanDuration;
use crate::wire::{List, NewPin, Pin};

fn path(name: &str) -> String {
    format!("/api/v1/gc/pins/{}", segment(name))
}

/// Sets a pin.
pub(super) fn set(
    api: &Api,
    name: &str,
    duration: HumanDuration,
    context: &Context,
) -> Result<Exit, Failure> {
    let pin: Received<Pin> = api.put(&path(name), &NewPin { duration: duration.to_string() })?;
    let text = format!(
        "garbage collection removes nothing until {}; to end it before: stowage gc unpin {}",
        when(&pin.until),
        pin.name
    );
    context.say(&json!(pin), &one_line(&text))?;
    Ok(Exit::Done)
}

/// Removes a pin.
pub(super) fn remove(api: &Api, name: &str, context: &Context) -> Result<Exit, Failure> {
    api.delete(&path(name))?;
    context.say(&json!({"removed": name}), &format!("removed the pin {}", one_line(name)))?;
    Ok(Exit::Done)
}

/// Lists the pins.
pub(super) fn list(api: &Api, context: &Context) -> Result<Exit, Failure> {
    let found: List<Received<Pin>> = api.get("/api/v1/gc/pins")?;
    let in_full = context.is_wide();
    let row = |pin: &Received<Pin>| {
        let set_at = pin.set_at.as_deref().map(if in_full { when } else { ago });
        [
            pin.name.clone(),
            if in_full { when(&pin.until) } else { distance(&pin.until) },
            pin.by.clone().unwrap_or_else(|| "its row is damaged: stowage gc unpin".to_owned()),
            set_at.unwrap_or_default(),
        ]
    };
    let headings = ["NAME", "UNTIL", "BY", "SET"];
    let text = output::list(&found.items, headings, context.width(), row, "no pin: garbage collection works");
    context.say(&json!({"pins": found.items}), &text)?;
    Ok(Exit::Done)
}

/// What pins do, for the state of garbage collection.
pub(super) fn field(pin: &Pin) -> (&'static str, String) {
    let name = one_line(&pin.name);
    ("pin", format!("{name} holds everything until {}: stowage gc unpin {name}", when(&pin.until)))
}
