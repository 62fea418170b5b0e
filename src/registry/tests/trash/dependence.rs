//! What deletions need of each other, and what stays of one when another one is emptied or restored.

use super::*;

#[test]
fn an_index_comes_back_with_an_image_that_was_deleted_after_it() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_as("team/a", b"config", "image");
    let inner = index_of(std::slice::from_ref(&image));
    server.put("team/a", by_digest(&inner), &inner).unwrap();
    let outer = index_of(std::slice::from_ref(&inner))
        .replace("image.manifest.v1+json\",\"digest", "image.index.v1+json\",\"digest");
    server.put("team/a", Reference::Tag("index".parse().unwrap()), &outer).unwrap();
    server.discard("team/a", "index").unwrap();
    server.discard("team/a", "image").unwrap();
    let [index, tag] = &server.entries()[..] else { panic!("two deletions") };
    server.restore(index.id, None).unwrap();
    assert!([&outer, &inner, &image].iter().all(|body| server.can_pull("team/a", &of(body))));
    server.empty(tag.id).unwrap();
    assert!(server.can_pull("team/a", &of(&image)), "what the index lists stays");
    server.assert_clean("after both");
}

#[test]
fn two_deletions_of_a_manifest_without_a_tag_do_not_depend_on_each_other() {
    let place = Place::new();
    let server = open(&place);
    let image = image(b"config");
    for _ in 0..2 {
        server.push_blob("team/a", b"config", digest(b"config")).unwrap();
        server.put("team/a", by_digest(&image), &image).unwrap();
        server.delete_by("team/a", by_digest(&image), Below::Goes).unwrap();
    }
    let [first, second] = &server.entries()[..] else { panic!("two deletions") };
    server.empty(second.id).unwrap();
    server.restore(first.id, None).unwrap();
    assert!(server.can_pull("team/a", &of(&image)));
    server.assert_clean("after the undo");
}

#[test]
fn what_is_being_removed_cannot_be_restored_in_part() {
    let place = Place::new();
    let server = open(&place);
    server.push_index(80);
    server.discard("team/a", "all").unwrap();
    let id = server.entries()[0].id;
    let registry = Arc::clone(&server.registry);
    server
        .forge(move |tx| trash::empty_slice(tx, &registry, id, crate::model::audit::Actor::SYSTEM).map(drop));
    assert!(matches!(server.restore(id, None), Err(RegistryError::TrashUnknown(_))));
    server.assert_clean("between two parts");
    server.empty(id).unwrap();
    assert_eq!(server.rows_of_trash(), [0; 8]);
    server.assert_clean("when it is gone");
}

#[test]
fn without_a_trash_what_is_in_it_keeps_its_manifests() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_as("team/a", b"config", "1");
    server.push_as("team/a", b"config", "2");
    server.discard("team/a", "1").unwrap();
    let limits = Limits { trash_s: 0, ..**server.registry.limits.load() };
    server.registry.limits.store(Arc::new(limits));
    server.delete_by("team/a", by_digest(&image), Below::Goes).unwrap();
    assert!(!server.can_pull("team/a", &of(&image)));
    server.assert_clean("after the deletion");
    server.restore(server.entries()[0].id, None).unwrap();
    assert_eq!(server.tags_of("team/a").len(), 1);
    server.discard("team/a", "1").unwrap();
    server.push_as("team/a", b"another", "3");
    server.wait(server.registry.delete_repository(&server.grant("team/a"))).unwrap();
    assert!(server.id_of("team/a").is_none());
    server.assert_clean("when the repository is gone");
}

#[test]
fn a_manifest_with_very_many_tags_comes_back_with_all_of_them_or_not_at_all() {
    let place = Place::new();
    let server = open(&place);
    let image = server.push_as("team/a", b"config", "0");
    for number in 1..600 {
        server.put("team/a", Reference::Tag(number.to_string().parse().unwrap()), &image).unwrap();
    }
    server.delete_by("team/a", by_digest(&image), Below::Goes).unwrap();
    server.push_as("team/a", b"another", "550");
    let [entry] = &server.entries()[..] else { panic!("one deletion") };
    assert!(matches!(server.restore(entry.id, None), Err(RegistryError::NameTaken(_))));
    assert_eq!(server.tags_of("team/a").len(), 1, "nothing was changed");
    server.assert_clean("after the refusal");
    server.delete_by("team/a", Reference::Tag("550".parse().unwrap()), Below::Stays).unwrap();
    server.restore(entry.id, None).unwrap();
    assert_eq!(server.tags_of("team/a").len(), 600);
    server.assert_clean("after the undo");
}

#[test]
fn a_hidden_blob_to_which_a_push_refers_again_is_shown() {
    let place = Place::new();
    let server = place.open(false);
    let limits = Limits { trash_s: WEEK_S, ..**server.registry.limits.load() };
    server.registry.limits.store(Arc::new(limits));
    let image = server.push_as("team/a", b"config", "1");
    server.discard("team/a", "1").unwrap();
    server.wait(server.registry.delete_blob(&server.grant("team/a"), &digest(b"config"))).unwrap();
    server.put("team/a", by_digest(&image), &image).unwrap();
    server.assert_clean("after the push");
    assert_eq!(server.pull_blob("team/a", &digest(b"config")).unwrap(), "config");
}

#[test]
fn a_signature_that_was_deleted_before_its_image_stays_deleted() {
    let place = Place::new();
    let server = open(&place);
    let signed = server.push_as("team/a", b"config", "1");
    let subject = format!(
        r#""subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}},"layers""#,
        of(&signed),
        signed.len()
    );
    let [old, new] = [b"config" as &[u8], b"another"].map(|config| {
        server.push_blob("team/a", config, digest(config)).unwrap();
        let signature = image(config).replace(r#""layers""#, &subject);
        server.put("team/a", by_digest(&signature), &signature).unwrap();
        signature
    });
    server.delete_by("team/a", by_digest(&old), Below::Goes).unwrap();
    server.discard("team/a", "1").unwrap();
    server.restore(server.entries()[1].id, None).unwrap();
    assert!(server.can_pull("team/a", &of(&new)) && !server.can_pull("team/a", &of(&old)));
    server.restore(server.entries()[0].id, None).unwrap();
    assert!(server.can_pull("team/a", &of(&old)));
    server.assert_clean("after both");
}

#[test]
fn a_deletion_has_the_name_that_its_repository_has_now() {
    let place = Place::new();
    let server = open(&place);
    server.push_as("team/a", b"config", "1");
    server.push_as("team/a", b"another", "2");
    server.discard("team/a", "1").unwrap();
    server.wait(server.registry.delete_repository(&server.grant("team/a"))).unwrap();
    server.restore(server.entries()[1].id, Some("team/b")).unwrap();
    let grant = server.at_site::<ReadServer>();
    let of_b = server.wait(server.registry.trash(&grant, (None, Some("team/b".to_owned())), 10)).unwrap();
    assert_eq!(of_b.entries.len(), 1);
    assert_eq!(server.restore(of_b.entries[0].id, None).unwrap().row.name, "team/b");
    server.assert_clean("after both");
}
