use super::*;

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[test]
fn what_is_no_token_is_told_by_part_and_place() {
    let fine = [encoded("{}"), encoded("{}"), encoded("signature")];
    assert!(ReadToken::parse(&fine.join(".")).is_ok());
    for (found, text) in [(1, ""), (1, "planted"), (2, "planted.planted"), (4, "planted.planted.planted.")] {
        assert_eq!(ReadToken::parse(text).err(), Some(Malformed::Parts { found }));
    }
    for (index, part) in ["header", "claims", "signature"].into_iter().enumerate() {
        for wrong in ["planted!", "e30=", "+/8"] {
            let mut parts = fine.clone();
            parts[index] = wrong.to_owned();
            assert_eq!(ReadToken::parse(&parts.join(".")).err(), Some(Malformed::Encoding { part }), "{wrong:?}");
        }
    }
    for (index, part) in ["header", "claims"].into_iter().enumerate() {
        for (wrong, column) in [("", 0), ("planted", 1), ("[\"planted\"]", 0), ("{\"planted\":1", 12), ("{} planted", 4)] {
            let mut parts = fine.clone();
            parts[index] = encoded(wrong);
            let malformed = ReadToken::parse(&parts.join(".")).err().unwrap();
            assert_eq!(malformed, Malformed::NotAnObject { part, line: 1, column }, "{wrong:?}");
            assert!(malformed.to_string().contains(part) && !malformed.to_string().contains("planted"));
        }
    }
}

#[test]
fn what_people_paste_around_a_token_is_told() {
    let token = [encoded("{}"), encoded("{}"), encoded("signature")].join(".");
    for (text, told) in [
        (format!("\"{token}\""), "it stands in quotes"),
        (format!("'{token}'"), "it stands in quotes"),
        (format!("Bearer {token}"), "a header's words stand before it"),
        (format!("authorization: bearer {token}"), "a header's words stand before it"),
        (format!("{{\"token\":\"{token}\"}}"), "it stands in a JSON object"),
        (format!("{token}\n{token}"), "there are blanks or line breaks in it"),
        (token.replacen('.', ".\n", 1), "there are blanks or line breaks in it"),
        (base64::engine::general_purpose::STANDARD.encode("eyJhbGciOiJIUzI1NiJ9.e30.c2ln"), "it is the base64 of a token"),
    ] {
        let malformed = ReadToken::parse(&text).err().unwrap().to_string();
        assert!(malformed.starts_with(told) && malformed.ends_with("give the token alone"), "{text}: {malformed}");
    }
}

#[test]
fn a_token_carries_the_very_text() {
    let token =
        |player: &str| format!("{}.{}.s", encoded("{}"), encoded(&format!(r#"{{"grants":{{"identity":"i","player":{player}}},"exp":1}}"#)));
    assert_eq!(form_carried(&token(r#"{"a": 1}"#), r#"{"a": 1}"#), Some(GrantForm::Json));
    assert_eq!(form_carried(&token(r#""{\"a\": 1}""#), r#"{"a": 1}"#), Some(GrantForm::Text));
    for (player, grant) in [(r#"{"a":1}"#, r#"{"a": 1}"#), (r#""b""#, "a"), ("null", ""), ("17", "18")] {
        assert_eq!(form_carried(&token(player), grant), None, "{player}");
    }
    for broken in ["", "a.b", "e30.e30.s", &format!("e30.{}.s", encoded(r#"{"grants":{}}"#)), &format!("e30.{}!.s", encoded("{}"))] {
        assert_eq!(form_carried(broken, "{}"), None, "{broken}");
    }
}
