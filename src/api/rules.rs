//! What the API server checks of a request beyond types and ranges: the CRD's CEL rules, and the words that tell what to do where one is
//! broken.
//!
//! [`super::validate`] holds the same rules in Rust and says the same words. The API server puts the field's path before them. Whatever a
//! rule walks has a greatest length in the schema, or the API server finds the rule too costly and refuses the CRD.

use kube::core::{Message, Rule};

use super::names::{GROUP, MANAGED_BY_LABEL};

pub(super) const PLAYER_STREAMER_SID: &str =
    "must be a PlayerStreamer's SID, VJ and 32 hexadecimal digits: copy it from the sid that the Media API shows for the PlayerStreamer";
pub(super) const TTL: &str =
    "must be 1 to 60 seconds: the Media API gives no longer grant; keep one fresh with a refresh, not with a longer life";
pub(super) const ORIGIN_STAR: &str = "* is not an origin: leave the field out to let the stream be played anywhere";
pub(super) const ORIGIN: &str = "must be a full origin, that is http:// or https://, a host, and a port where it isn't the scheme's own, with nothing after it, such as https://www.example.com: correct it, or leave the field out to let the stream be played anywhere";
pub(super) const REFRESH_NOTHING_FITS: &str = "no value fits a ttlSeconds of 1: leave the field out, or give a longer ttlSeconds";
pub(super) const REFRESH_BEFORE: &str = "must be 1 up to three quarters of ttlSeconds, such as at most 11 for the default of 15 and 45 for 60: correct it, or leave the field out for a third of ttlSeconds";
pub(super) const SECRET_NAME: &str = "must be a Secret's name, that is at most 253 lower case letters, digits, hyphens and dots, beginning and ending with a letter or digit, also around each dot: correct it";
pub(super) const SECRET_IS_CREDENTIALS: &str = "the grant's Secret (by default the one with the request's own name) must not be the credentials Secret, which it would overwrite: name another one in spec.secret.name";
pub(super) const LABEL_KEYS: &str = "is no label key, that is a name of at most 63 letters, digits, hyphens, underscores and dots, if needed after a DNS subdomain in lower case and a slash: correct or remove the key";
pub(super) const LABEL_VALUES: &str = "has no label value, that is at most 63 letters, digits, hyphens, underscores and dots, beginning and ending with a letter or digit: correct the value, or put it into spec.secret.annotations";
pub(super) const ANNOTATION_KEYS: &str = "is no annotation key, that is a name of at most 63 letters, digits, hyphens, underscores and dots, if needed after a DNS subdomain and a slash: correct or remove the key";
pub(super) const ANNOTATIONS_SIZE: &str = "must be at most 16384 bytes, keys and values together: remove some, or shorten them";
pub(super) const RESERVED_KEYS: &str =
    "is one that the operator sets itself, as all that begin with playbackgrant.dev/ and app.kubernetes.io/managed-by: remove the key";
pub(super) const IDENTITY: &str =
    "must be 1 to 256 characters, none of them a control character (a line break, for one): give the name by which the player is known";
pub(super) const TOKEN_TTL: &str =
    "must be 60 to 86400 seconds: the Media API takes no token that lives for more than a day; hand out the newest token instead";
pub(super) const TOO_MANY: &str = "must be at most 32: remove some";
pub(super) const DELETION_POLICY: &str = "must be Delete or Retain: correct it, or leave the field out for Delete";

/// How many labels, and how many annotations, a request can put on its Secret.
pub(super) const MAX_KEYS: usize = 32;
/// How much the annotations may be, keys and values together, bytes.
pub(super) const MAX_ANNOTATIONS_SIZE: usize = 16 * 1024;

// The numbers themselves would be dearer than the rule: the length of what `string()` makes of one is not known beforehand.
pub(super) fn refresh_before_expiry() -> Rule {
    Rule::new("!has(self.refreshBeforeExpirySeconds) || self.refreshBeforeExpirySeconds * 4 <= self.ttlSeconds * 3")
        .message(Message::Expression(format!("self.ttlSeconds == 1 ? '{REFRESH_NOTHING_FITS}' : '{REFRESH_BEFORE}'")))
        .field_path(".refreshBeforeExpirySeconds")
}

pub(super) fn secret_is_not_the_credentials() -> Rule {
    Rule::new(
        "(has(self.spec.secret) && has(self.spec.secret.name) ? self.spec.secret.name : self.metadata.name) \
         != self.spec.credentialsSecretRef.name",
    )
    .message(SECRET_IS_CREDENTIALS)
    .field_path(".spec.secret.name")
}

pub(super) fn player_streamer_sid() -> Rule {
    Rule::new("self.matches('^VJ[0-9a-fA-F]{32}$')").message(PLAYER_STREAMER_SID)
}

pub(super) fn origin_is_not_a_star() -> Rule {
    Rule::new("self != '*'").message(ORIGIN_STAR)
}

/// The same as [`crate::media::Origin::parse`].
pub(super) fn origin() -> Rule {
    const PORT: &str = "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?";
    const LABEL: &str = "[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?";
    Rule::new(format!(
        r"self == '*' || (self.matches('^https?://{LABEL}(\\.{LABEL})*{PORT}$') && !self.matches('^https?://[^:]{{254}}')) || (self.matches('^https?://\\[[0-9A-Fa-f:.]+\\]{PORT}$') && isIP(self.substring(self.indexOf('[') + 1, self.indexOf(']'))) && ip(self.substring(self.indexOf('[') + 1, self.indexOf(']'))).family() == 6)",
    ))
    .message(ORIGIN)
}

pub(super) fn secret_name() -> Rule {
    Rule::new("!format.dns1123Subdomain().validate(self).hasValue()").message(SECRET_NAME)
}

pub(super) fn identity() -> Rule {
    Rule::new(r"size(self) > 0 && !self.matches('\\p{Cc}')").message(IDENTITY)
}

pub(super) fn label_keys() -> Rule {
    no_key("format.qualifiedName().validate(key).hasValue()", LABEL_KEYS)
}

pub(super) fn label_values() -> Rule {
    no_key("format.labelValue().validate(self[key]).hasValue()", LABEL_VALUES)
}

/// The API server takes a prefix in capitals on annotations, though not on labels.
pub(super) fn annotation_keys() -> Rule {
    no_key("format.qualifiedName().validate(key.lowerAscii()).hasValue()", ANNOTATION_KEYS)
}

pub(super) fn reserved_keys() -> Rule {
    no_key(&format!("key.startsWith('{GROUP}/') || key == '{MANAGED_BY_LABEL}'"), RESERVED_KEYS)
}

/// No key of the map is as `unwanted` says; where one is, the message begins with it, quoted so that it stays on one line.
fn no_key(unwanted: &str, remedy: &str) -> Rule {
    Rule::new(format!("!self.exists(key, {unwanted})"))
        .message(Message::Expression(format!("strings.quote(self.filter(key, {unwanted})[0]) + ' {remedy}'")))
}

pub(super) fn annotations_size() -> Rule {
    Rule::new(format!("self.map(key, size(bytes(key)) + size(bytes(self[key]))).sum() <= {MAX_ANNOTATIONS_SIZE}")).message(ANNOTATIONS_SIZE)
}
