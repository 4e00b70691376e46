//! Steps through the DER of certificates and OCSP responses. Anything malformed is `None`.

use std::time::SystemTime;

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};

/// The content of the next value, which must have this tag.
pub(super) fn inside<'a>(values: &mut SliceReader<'a>, tag: Tag) -> Option<SliceReader<'a>> {
    let value = AnyRef::decode(values).ok()?;
    if value.tag() == tag { SliceReader::new(value.value()).ok() } else { None }
}

/// The content of the next value, if it is marked `[0]`.
pub(super) fn optional<'a>(values: &mut SliceReader<'a>) -> Option<Option<SliceReader<'a>>> {
    let marked = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
    match values.is_finished() || Tag::peek(values).ok()? != marked {
        true => Some(None),
        false => inside(values, marked).map(Some),
    }
}

/// A time of one of the forms that RFC 5280 §4.1.2.5 demands: whole seconds, UTC.
pub(super) fn time(values: &mut SliceReader<'_>) -> Option<SystemTime> {
    match Tag::peek(values).ok()? {
        Tag::UtcTime => UtcTime::decode(values).ok().map(|time| time.to_system_time()),
        _ => GeneralizedTime::decode(values).ok().map(|time| time.to_system_time()),
    }
}
