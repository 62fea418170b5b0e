//! The trash through the API and the command line: what is deleted can be seen, restored as it was, emptied,
//! and its space is freed.

use serde_json::{Value, json};
use stowage::wire::{
    GarbageReason, GcPlan, GcStatus, Job, List, OpenEnum, System, Tag, TrashEntry, TrashKind,
};

use crate::admin::program::Place;
use crate::support::{Client, Response, content};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn entries(admin: &Client) -> Vec<TrashEntry> {
    admin.get("/api/v1/trash").expect(200).read::<List<TrashEntry>>().items
}

fn restore(admin: &Client, id: u64, body: &Value) -> Response {
    admin.send("POST", &format!("/api/v1/trash/{id}/restore"), JSON, body.to_string().as_bytes())
}

fn assert_refused(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, &response.json()["code"]), (status, &json!(code)), "{response:?}");
}

fn tag(admin: &Client, path: &str) -> Tag {
    admin.get(&format!("/api/v1/repositories/{path}")).expect(200).read()
}

fn disk_bytes(admin: &Client) -> u64 {
    admin.get("/api/v1/system").expect(200).read::<System>().disk_bytes
}

#[test]
fn a_deleted_tag_is_in_the_trash_and_comes_back_as_it_was() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let image = content::push_image(&admin, "team/app", "1", &content::bytes(1, 100_000));
    let digest = content::sha256(&image);
    let signature = content::referrer(&image, "application/vnd.test.signature", &json!({"by": "a test"}));
    content::push_blob(&admin, "team/app", b"{}");
    let signed = content::sha256(&signature);
    content::push_manifest(&admin, "team/app", &signed, stowage::model::media_type::OCI_MANIFEST, &signature);
    let before = tag(&admin, "team/app/-/tags/1");
    let referrers = admin.get(&format!("/v2/team/app/referrers/{digest}")).expect(200).body;

    admin.delete("/api/v1/repositories/team/app/-/tags/1").expect(204);
    for reference in ["1", &digest, &signed] {
        admin.get(&format!("/v2/team/app/manifests/{reference}")).expect(404);
    }
    let [entry] = &entries(&admin)[..] else { panic!("one deletion") };
    assert_eq!((&entry.kind, &entry.repository[..]), (&OpenEnum::Known(TrashKind::Tag), "team/app"));
    assert_eq!((&entry.tags[..], entry.digest.as_ref()), (&["1".to_owned()][..], Some(&digest)));
    assert_eq!(entry.deleted_by, "admin");
    let GcStatus { live_bytes, garbage, .. } = admin.get("/api/v1/gc").expect(200).read();
    assert_eq!(garbage[0].reason, OpenEnum::Known(GarbageReason::Trash));
    assert_eq!(garbage.iter().map(|part| part.bytes).sum::<u64>() + live_bytes, disk_bytes(&admin));

    let restored: TrashEntry = restore(&admin, entry.id, &json!({})).expect(200).read();
    assert_eq!(restored.id, entry.id);
    assert_eq!(tag(&admin, "team/app/-/tags/1"), before);
    assert_eq!(admin.get("/v2/team/app/manifests/1").expect(200).body, image);
    assert_eq!(admin.get(&format!("/v2/team/app/referrers/{digest}")).expect(200).body, referrers);
    assert!(entries(&admin).is_empty());
    assert_refused(&restore(&admin, entry.id, &json!({})), 404, "TRASH_UNKNOWN");
    place.run(&["fsck", "--deep"]).expect(0);
}

#[test]
fn a_stranger_pushes_sees_what_would_go_deletes_undoes_and_frees_the_space() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/kept", "1", b"a layer that stays");
    content::push_image(&admin, "team/app", "1", &content::bytes(1, 300_000));
    let before = disk_bytes(&admin);
    place.run(&["tag", "delete", "team/app:1", "--yes"]).expect(0);
    let shown = place.run(&["trash", "list"]).expect(0).stdout;
    for part in ["tag", "team/app:1", "unix:"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    assert!(place.run(&["gc", "status"]).expect(0).stdout.contains("trash "), "{shown}");
    place.run(&["gc", "run", "--now", "--untagged", "0s", "--wait"]).expect(0);
    assert_eq!(disk_bytes(&admin), before, "what is in the trash stays");
    let undone = place.run(&["tag", "restore", "team/app:1"]).expect(0).stdout;
    assert!(undone.contains("restored team/app:1"), "{undone}");
    admin.get("/v2/team/app/manifests/1").expect(200);

    place.run(&["repo", "delete", "team/app", "--yes"]).expect(0);
    admin.get("/v2/team/app/manifests/1").expect(404);
    place.run(&["repo", "show", "team/app"]).expect(5);
    let plan: GcPlan = admin.get("/api/v1/gc/plan?empty_trash=true").expect(200).read();
    assert!(plan.trash == 1 && plan.freed_bytes >= 300_000, "{plan:?}");
    let planned = place.run(&["gc", "plan", "--empty-trash"]).expect(0).stdout;
    assert!(planned.contains("would remove 1 deletion from the trash"), "{planned}");
    let ran = place.run(&["gc", "run", "--empty-trash", "--wait"]).expect(0).stdout;
    assert!(ran.contains("removed 1 deletion from the trash"), "{ran}");
    assert_eq!(disk_bytes(&admin), before - plan.freed_bytes);
    place.run(&["repo", "restore", "team/app"]).expect(5);
    admin.get("/v2/team/kept/manifests/1").expect(200);
    place.run(&["fsck", "--deep"]).expect(0);
    drop((admin, server));
}

#[test]
fn a_taken_name_needs_another_one_and_wrong_names_change_nothing() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let first = content::push_image(&admin, "team/app", "1", b"first");
    admin.delete("/api/v1/repositories/team/app").expect(204);
    let second = content::push_image(&admin, "team/app", "1", b"second");
    let refused = place.run(&["repo", "restore", "team/app"]).expect(6);
    assert!(refused.error().contains("exists again"), "{refused:?}");
    for wrong in ["", "UPPER", "a//b", "team/app:1"] {
        let body = json!({ "as": wrong });
        assert_refused(&restore(&admin, entries(&admin)[0].id, &body), 400, "TRASH_NAME_INVALID");
    }
    for wrong in ["[]", "null", r#"{"as": null}"#, r#"{"name": "x"}"#, "7"] {
        let path = format!("/api/v1/trash/{}/restore", entries(&admin)[0].id);
        admin.send("POST", &path, JSON, wrong.as_bytes()).expect(400);
    }
    place.run(&["repo", "restore", "team/app", "--as", "team/old"]).expect(0);
    assert_eq!(admin.get("/v2/team/old/manifests/1").expect(200).body, first);
    assert_eq!(admin.get("/v2/team/app/manifests/1").expect(200).body, second);

    place.run(&["tag", "delete", "team/app:1", "--yes"]).expect(0);
    content::push_image(&admin, "team/app", "1", b"third");
    place.run(&["tag", "restore", "team/app:1"]).expect(6);
    place.run(&["tag", "restore", "team/app:1", "--as", "1-old"]).expect(0);
    assert_eq!(admin.get("/v2/team/app/manifests/1-old").expect(200).body, second);
    place.run(&["fsck", "--deep"]).expect(0);
}

#[test]
fn the_registrys_own_deletions_go_to_the_trash_by_digest_and_only_untag_by_tag() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    let image = content::push_image(&admin, "team/app", "1", b"a layer");
    let digest = content::sha256(&image);
    admin.delete("/v2/team/app/manifests/1").expect(202);
    assert!(entries(&admin).is_empty());
    admin.get(&format!("/v2/team/app/manifests/{digest}")).expect(200);
    admin.delete(&format!("/v2/team/app/manifests/{digest}")).expect(202);
    admin.get(&format!("/v2/team/app/manifests/{digest}")).expect(404);
    admin.delete(&format!("/v2/team/app/blobs/{}", content::sha256(b"a layer"))).expect(202);
    admin.get(&format!("/v2/team/app/blobs/{}", content::sha256(b"a layer"))).expect(404);
    let id = entries(&admin)[0].id;
    place.run(&["trash", "restore", &id.to_string()]).expect(0);
    admin.get(&format!("/v2/team/app/manifests/{digest}")).expect(200);
    admin.get(&format!("/v2/team/app/blobs/{}", content::sha256(b"a layer"))).expect(200);
    place.run(&["fsck", "--deep"]).expect(0);
}

#[test]
fn only_admins_see_restore_and_empty_it() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"a layer");
    admin.delete("/api/v1/repositories/team/app/-/tags/1").expect(204);
    let hanna = json!({"name": "hanna", "password": "a long password of hanna"}).to_string();
    admin.send("POST", "/api/v1/users", JSON, hanna.as_bytes()).expect(201);
    let hanna = server.client().basic("hanna", "a long password of hanna");
    let id = entries(&admin)[0].id;
    hanna.get("/api/v1/trash").expect(403);
    hanna.get(&format!("/api/v1/trash/{id}")).expect(403);
    restore(&hanna, id, &json!({})).expect(403);
    hanna.delete(&format!("/api/v1/trash/{id}")).expect(403);
    server.client().get("/api/v1/trash").expect(401);
    for wrong in ["0", "x", "-1", "99999999999999999999"] {
        assert_refused(&admin.get(&format!("/api/v1/trash/{wrong}")), 404, "TRASH_UNKNOWN");
    }
    admin.delete(&format!("/api/v1/trash/{id}")).expect(204);
    assert_refused(&admin.delete(&format!("/api/v1/trash/{id}")), 404, "TRASH_UNKNOWN");
    assert!(entries(&admin).is_empty());
}

#[test]
fn a_list_has_pages_and_can_be_of_one_repository() {
    let place = Place::new();
    let (_server, admin) = place.serve_with_admin();
    for number in 0..5 {
        content::push_image(&admin, "team/app", &number.to_string(), format!("layer {number}").as_bytes());
        admin.delete(&format!("/api/v1/repositories/team/app/-/tags/{number}")).expect(204);
    }
    content::push_image(&admin, "team/other", "1", b"other");
    admin.delete("/api/v1/repositories/team/other/-/tags/1").expect(204);
    let (mut found, mut path) = (Vec::new(), "/api/v1/trash?limit=2".to_owned());
    loop {
        let page: List<TrashEntry> = admin.get(&path).expect(200).read();
        found.extend(page.items);
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/api/v1/trash?limit=2&cursor={cursor}");
    }
    let ids = |entries: &[TrashEntry]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!(ids(&found), ids(&entries(&admin)));
    assert_eq!(found.len(), 6);
    let of_app: List<TrashEntry> = admin.get("/api/v1/trash?repository=team/app").expect(200).read();
    assert_eq!(ids(&of_app.items), ids(&found[..5]));
    let emptied = place.run(&["trash", "empty", "--yes"]).expect(0).stdout;
    assert!(emptied.contains("removed 6 deletions from the trash"), "{emptied}");
    assert!(place.run(&["trash", "list"]).expect(0).stdout.contains("the trash is empty"));
}

#[test]
fn without_a_trash_things_are_deleted_at_once() {
    let place = Place::new();
    let server = place.serve_with(&[("STOWAGE__STORAGE__TRASH", "0s")]);
    let password = std::fs::read_to_string(place.data().join("initial-admin-password")).unwrap();
    let admin = server.client().basic("admin", password.trim());
    content::push_image(&admin, "team/app", "1", b"a layer");
    admin.delete("/api/v1/repositories/team/app").expect(204);
    content::push_image(&admin, "team/app", "2", b"another layer");
    admin.delete("/api/v1/repositories/team/app/-/tags/2").expect(204);
    assert!(entries(&admin).is_empty());
    let jobs: List<Job> = admin.get("/api/v1/jobs").expect(200).read();
    assert!(jobs.items.is_empty());
}
