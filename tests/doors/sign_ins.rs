//! Wrong sign-ins cost the server little, and guessing costs time.

use std::time::Instant;

use crate::support::TestStowage;

#[test]
fn after_twenty_wrong_passwords_a_name_waits_and_another_user_does_not_notice_with_a_known_header() {
    let server = TestStowage::with_sign_in();
    let admin = server.admin();
    admin.get("/v2/").expect(200);
    let mut refused = 0;
    for guess in 0..25 {
        let response = server.client().basic("admin", &format!("guess number {guess}")).get("/v2/");
        if response.status == 429 {
            refused += 1;
            assert_eq!(response.code(), "TOOMANYREQUESTS");
            assert!(response.header("retry-after").unwrap().parse::<u64>().unwrap() <= 6);
        }
    }
    assert!(refused >= 4, "{refused}");
    admin.get("/v2/").expect(200);
}

#[test]
fn a_verified_header_is_not_hashed_again() {
    let server = TestStowage::with_sign_in();
    let admin = server.admin();
    admin.get("/v2/").expect(200);
    let started = Instant::now();
    for _ in 0..100 {
        admin.get("/v2/").expect(200);
    }
    assert!(started.elapsed().as_secs_f64() < 2.0, "{:?}", started.elapsed());
}
