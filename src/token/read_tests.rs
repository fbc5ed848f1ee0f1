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
        for wrong in ["planted!", "e30=", "+/8", "e30\n"] {
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
