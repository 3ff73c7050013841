//! The payload as a draft: every known field read, nothing yet refused.

use super::field;
use super::notes::{Notes, Place, When, Why, Within};
use super::reader::{Broken, Kind, Opened, Reader, Scalar};
use super::{FieldError, kept, lines};
use crate::event::{CancelReason, Content, EventKind, Total, Window};
use crate::ids::{OrderId, StoreId};

/// A field that is judged only when the event is known.
#[derive(Debug, Default)]
pub(super) enum Slot<T> {
    #[default]
    Missing,
    Valid(T),
    Wrong(Why),
}

impl<T> From<Result<Option<T>, Why>> for Slot<T> {
    fn from(read: Result<Option<T>, Why>) -> Self {
        match read {
            Ok(Some(value)) => Self::Valid(value),
            Ok(None) => Self::Missing,
            Err(why) => Self::Wrong(why),
        }
    }
}

const STORE: Place = Within::Payload.field("store_id");
const STORE_OTHER_NAME: Place = Within::Payload.field("storeID");
const DELIVERY: Place = Within::Payload.field("delivery");
const TOTAL: Place = Within::Payload.field("total");
const POSITIONS: Place = Within::Payload.field("positions");

/// What one payload said.
#[derive(Debug, Default)]
pub(super) struct Payload {
    order_id: Slot<OrderId>,
    order_id_seen: bool,
    store_id: Slot<StoreId>,
    store_id_other_name: Slot<StoreId>,
    shipping_method: Option<String>,
    shipment_method: Option<String>,
    cancellation: CancelReason,
    cancellation_reason: Option<String>,
    content: Content,
    notes: Notes,
}

impl Payload {
    /// Reads the members of an opened payload. When it is already known that the event's payload is
    /// `unused`, only the order id is looked at.
    pub(super) fn read(reader: &mut Reader<'_>, unused: bool) -> Result<Box<Self>, Broken> {
        let mut draft = Box::<Self>::default();
        while let Some(key) = reader.key()? {
            match key {
                "originalOrderId" => draft.read_order_id(reader)?,
                _ if unused => reader.skip()?,
                "store_id" => draft.store_id = field::id(reader.scalar()?, StoreId::parse).into(),
                "storeID" => draft.store_id_other_name = field::id(reader.scalar()?, StoreId::parse).into(),
                "positions" => draft.content.lines = lines::read(reader, &mut draft.notes)?,
                "total" => draft.read_total(reader)?,
                "delivery" => draft.read_delivery(reader)?,
                "customer" => draft.content.customer = kept::object(reader, &mut draft.notes)?,
                "address" => draft.content.address = kept::object(reader, &mut draft.notes)?,
                "paymentMethods" => draft.content.payment_methods = texts(reader, &mut draft.notes)?,
                "cancellation" => draft.cancellation = cancellation(reader, &mut draft.notes)?,
                "cancellationReason" => draft.cancellation_reason = field::text(reader, &mut draft.notes)?,
                "orderUUID" => draft.content.order_uuid = field::text(reader, &mut draft.notes)?,
                "comment" => draft.content.comment = field::text(reader, &mut draft.notes)?,
                "replacementPolicy" => draft.content.replacement_policy = field::text(reader, &mut draft.notes)?,
                "shippingMethod" => draft.shipping_method = field::text(reader, &mut draft.notes)?,
                "shipmentMethod" => draft.shipment_method = field::text(reader, &mut draft.notes)?,
                "kind" => field::unused_text(reader, &mut draft.notes)?,
                _ => reader.skip()?,
            }
        }
        Ok(draft)
    }

    /// The order's key. Two of them would be two orders to two readers, so the second one is an
    /// error even where it is equal (protocol section 4).
    fn read_order_id(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        if std::mem::replace(&mut self.order_id_seen, true) {
            reader.skip()?;
            self.order_id = Slot::Wrong("must not be repeated".into());
        } else {
            self.order_id = field::id(reader.scalar()?, OrderId::parse).into();
        }
        Ok(())
    }

    fn read_total(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        let notes = &mut self.notes;
        self.content.total = Total::default();
        notes.forget(TOTAL);
        notes.forget_within(|within| within == Within::Total);
        match reader.open(Kind::Object)? {
            Opened::Yes => {}
            Opened::Null => return Ok(()),
            Opened::Other => {
                notes.wrong(TOTAL, When::Always, "must be an object");
                return Ok(());
            }
        }
        let total = &mut self.content.total;
        while let Some(key) = reader.key()? {
            match key {
                "totalPrice" => total.price = field::price(reader, notes, Within::Total.field("totalPrice"))?,
                "discountTotalPrice" => {
                    total.discount_price = field::price(reader, notes, Within::Total.field("discountTotalPrice"))?;
                }
                _ => reader.skip()?,
            }
        }
        Ok(())
    }

    fn read_delivery(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        let notes = &mut self.notes;
        self.content.window = Window::default();
        notes.forget(DELIVERY);
        notes.forget_within(|within| within == Within::Delivery);
        match reader.open(Kind::Object)? {
            Opened::Yes => {}
            Opened::Null => return Ok(()),
            Opened::Other => {
                notes.wrong(DELIVERY, When::Always, "must be an object");
                return Ok(());
            }
        }
        let window = &mut self.content.window;
        while let Some(key) = reader.key()? {
            match key {
                "expectedFrom" => window.from = field::moment(reader, notes, Within::Delivery.field("expectedFrom"))?,
                "expectedTo" => window.to = field::moment(reader, notes, Within::Delivery.field("expectedTo"))?,
                "isPlanned" => window.is_planned = field::truth(reader, notes)?,
                _ => reader.skip()?,
            }
        }
        Ok(())
    }

    /// The order's key, if it was given exactly once and is valid.
    pub(super) const fn order_id(&self) -> Option<&OrderId> {
        match &self.order_id {
            Slot::Valid(id) => Some(id),
            _ => None,
        }
    }

    /// Why there is no order id, if so.
    pub(super) fn order_id_error(&self) -> Option<FieldError> {
        let why = match &self.order_id {
            Slot::Valid(_) => return None,
            Slot::Missing => "is required: a string of 1 to 255 characters",
            Slot::Wrong(why) => why,
        };
        Some(FieldError::new("payload.originalOrderId", why))
    }

    /// What the payload means on an event of this `kind`, with the number of tolerated fields; or
    /// the errors, the store's first and the others in reading order.
    pub(super) fn judge(self, kind: EventKind) -> Result<(Content, u32), Vec<FieldError>> {
        let created = kind == EventKind::Created;
        let tolerated = self.notes.tolerated();
        let mut content = self.content;
        let (store_id, mut errors) = store(self.store_id, self.store_id_other_name, created);
        let positions_missing = content.lines.is_empty() && !self.notes.has(POSITIONS) && !self.notes.has_wrong_line();
        errors.extend(
            self.notes
                .into_errors(matches!(kind, EventKind::Created | EventKind::Changed)),
        );
        if created && positions_missing {
            errors.push(FieldError::new(
                POSITIONS,
                "is required on this event: an array of at least one object",
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        content.store_id = store_id;
        content.shipping_method = self.shipping_method.or(self.shipment_method);
        content.cancel_reason = CancelReason {
            slug: self.cancellation.slug,
            description: self.cancellation.description.or(self.cancellation_reason),
        };
        Ok((content, tolerated))
    }
}

/// Brings the store's two names together. Guessing the store sends goods from the wrong one, so
/// different values are an error on every event.
fn store(name: Slot<StoreId>, other_name: Slot<StoreId>, required: bool) -> (Option<StoreId>, Vec<FieldError>) {
    let mut errors = Vec::new();
    let store = match (name, other_name) {
        (Slot::Missing, Slot::Missing) => {
            if required {
                errors.push(FieldError::new(
                    STORE,
                    "is required on this event: a string or an integer",
                ));
            }
            None
        }
        (Slot::Valid(store), Slot::Missing) | (Slot::Missing, Slot::Valid(store)) => Some(store),
        (Slot::Valid(store), Slot::Valid(other)) => {
            if store != other {
                errors.push(FieldError::new(
                    STORE,
                    "must be the same as storeID where both are given",
                ));
            }
            Some(store)
        }
        (name, other_name) => {
            for (place, slot) in [(STORE, name), (STORE_OTHER_NAME, other_name)] {
                if let Slot::Wrong(why) = slot {
                    errors.push(FieldError::new(place, why));
                }
            }
            None
        }
    };
    (store, errors)
}

fn cancellation(reader: &mut Reader<'_>, notes: &mut Notes) -> Result<CancelReason, Broken> {
    let mut reason = CancelReason::default();
    match reader.open(Kind::Object)? {
        Opened::Yes => {
            while let Some(key) = reader.key()? {
                match key {
                    "slug" => reason.slug = field::text(reader, notes)?,
                    "description" => reason.description = field::text(reader, notes)?,
                    _ => reader.skip()?,
                }
            }
        }
        Opened::Null => {}
        Opened::Other => notes.tolerate(),
    }
    Ok(reason)
}

/// A list of texts; null means not sent. With anything but a text inside, the whole list is of a
/// wrong type: half a list of payment methods would be a lie.
fn texts(reader: &mut Reader<'_>, notes: &mut Notes) -> Result<Option<Vec<String>>, Broken> {
    match reader.open(Kind::Array)? {
        Opened::Yes => {}
        Opened::Null => return Ok(None),
        Opened::Other => {
            notes.tolerate();
            return Ok(None);
        }
    }
    let mut texts = Some(Vec::new());
    while reader.element()? {
        match (reader.scalar()?, &mut texts) {
            (Scalar::Text(text), Some(texts)) => texts.push(field::kept_text(text)),
            (Scalar::Text(_), None) => {}
            _ => texts = None,
        }
    }
    if texts.is_none() {
        notes.tolerate();
    }
    Ok(texts)
}
