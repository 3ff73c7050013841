//! The list of positions.

use super::field;
use super::notes::{Notes, When, Within};
use super::reader::{Broken, Kind, Opened, Reader};
use crate::event::{LineContent, LinePrices};
use crate::ids::ProductId;

/// Reads `positions`: in SM's order and without merging lines of one SKU (protocol section 4).
///
/// Absent, null and empty all mean "not sent". After the first wrong line the rest is only checked
/// for its grammar: the event will be refused, and nothing of it is worth memory.
pub(super) fn read(reader: &mut Reader<'_>, notes: &mut Notes) -> Result<Vec<LineContent>, Broken> {
    let mut lines = Vec::new();
    let list = Within::Payload.field("positions");
    notes.forget(list);
    notes.forget_within(|within| matches!(within, Within::Line(_)));
    match reader.open(Kind::Array)? {
        Opened::Yes => {}
        Opened::Null => return Ok(lines),
        Opened::Other => {
            notes.wrong(list, When::Always, "must be an array of objects");
            return Ok(lines);
        }
    }
    let mut index = 0;
    while reader.element()? {
        if notes.has_wrong_line() {
            reader.skip()?;
            continue;
        }
        match line(reader, notes, index)? {
            Some(line) => push(&mut lines, line),
            None => lines = Vec::new(),
        }
        index += 1;
    }
    Ok(lines)
}

/// Grows by half instead of to double: a line in memory is many times its shortest text.
fn push(lines: &mut Vec<LineContent>, line: LineContent) {
    if lines.len() == lines.capacity() {
        lines.reserve_exact(lines.len() / 2 + 4);
    }
    lines.push(line);
}

/// Reads one line; `None` after a problem that makes the whole body worthless.
fn line(reader: &mut Reader<'_>, notes: &mut Notes, index: usize) -> Result<Option<LineContent>, Broken> {
    let here = Within::Line(index);
    if reader.open(Kind::Object)? != Opened::Yes {
        notes.wrong(here.field(""), When::Always, "must be an object");
        return Ok(None);
    }
    let mut product_id = None;
    let mut quantity = None;
    let mut original_quantity = None;
    let mut prices = LinePrices::default();
    let mut weight_grams = None;
    let mut replaced_by = None;
    let mut name = None;
    while let Some(key) = reader.key()? {
        match key {
            "id" => product_id = notes.settle(here.field("id"), field::id(reader.scalar()?, ProductId::parse)),
            "quantity" => quantity = field::quantity(reader, notes, here.field("quantity"))?,
            "originalQuantity" => {
                original_quantity = field::quantity(reader, notes, here.field("originalQuantity"))?;
            }
            "price" => prices.price = field::price(reader, notes, here.field("price"))?,
            "discountPrice" => prices.discount_price = field::price(reader, notes, here.field("discountPrice"))?,
            "totalPrice" => prices.total_price = field::price(reader, notes, here.field("totalPrice"))?,
            "totalDiscountPrice" => {
                prices.total_discount_price = field::price(reader, notes, here.field("totalDiscountPrice"))?;
            }
            "weight" => weight_grams = field::weight(reader, notes)?,
            "replacedByID" => {
                let read = field::reference(reader.scalar()?, ProductId::parse);
                replaced_by = notes.settle(here.field("replacedByID"), read);
            }
            "name" => name = field::text(reader, notes)?,
            _ => reader.skip()?,
        }
    }
    if product_id.is_none() && !notes.has(here.field("id")) {
        notes.wrong(here.field("id"), When::Always, "is required: the partner's SKU");
    }
    // One such line is enough to refuse an event that needs every quantity.
    if quantity.is_none() && !notes.has(here.field("quantity")) && !notes.has_any(When::QuantityRequired) {
        notes.wrong(
            here.field("quantity"),
            When::QuantityRequired,
            "is required on this event",
        );
    }
    let line = product_id
        .filter(|_| !notes.has_wrong_line())
        .map(|product_id| LineContent {
            product_id,
            quantity,
            original_quantity,
            prices,
            weight_grams,
            replaced_by,
            name,
        });
    Ok(line)
}
