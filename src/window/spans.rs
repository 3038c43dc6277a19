//! Spans → cells. Hot plane.

use super::cardinality::in_sample;
use super::open::{Request, Seen};
use super::parents::{self, SampledSpan};
use super::shard::{Home, Shard};
use super::warmup::Origin;
use crate::model::names::Carried;
use crate::model::operation::Parts;
use crate::model::peer::Peer;
use crate::model::{DependencyId, EnvironmentId, ItemKind, SeriesId, SpanKind, outcome};
use crate::wire::any_value::{AnyValue, int_of, text_of};
use crate::wire::semconv::Slot;
use crate::wire::{
    Malformed, Refusals, Slice, SpanRecord, TraceBatch, decode_traces, event_attributes, span_attributes,
};
use std::hash::BuildHasher;

/// So many spans are recorded together: what they are added to fits into the nearest cache.
const ABREAST: usize = 32;

/// Where a span goes.
#[derive(Clone, Copy)]
struct Placed {
    /// Index in the request.
    at: usize,
    home: Home,
    window: usize,
    kind: SpanKind,
    series: SeriesId,
    dependency: Option<DependencyId>,
    duration_ns: u64,
}

impl Shard {
    pub(super) fn observe_traces(
        &mut self,
        now_ns: u64,
        forced: Option<EnvironmentId>,
        request: &[u8],
    ) -> Result<Refusals, Malformed> {
        let mut batch = std::mem::take(&mut self.traces);
        batch.clear();
        let decoded = decode_traces(request, &mut batch);
        if decoded.is_ok() {
            self.resolve(request, &batch.resources, &batch.scopes, forced);
            for first in (0..batch.spans.len()).step_by(ABREAST) {
                let mut placed = [None; ABREAST];
                for (at, place) in (first..batch.spans.len()).zip(&mut placed) {
                    *place = self.place_span(now_ns, request, &mut batch, at);
                }
                self.fetch(&placed);
                for place in placed.into_iter().flatten() {
                    self.record_span(now_ns, request, &batch, place);
                }
            }
            self.see_senders(request, &batch.resources, &batch.scopes);
        }
        let refusals = std::mem::take(&mut batch.refusals);
        self.traces = batch;
        decoded.map(|()| refusals)
    }

    /// Where a span goes; `None` where it is refused, late or nobody's, which is counted here.
    #[inline]
    fn place_span(
        &mut self,
        now_ns: u64,
        request: &[u8],
        batch: &mut TraceBatch,
        at: usize,
    ) -> Option<Placed> {
        let span = &batch.spans[at];
        let refusal =
            self.refuse_time(now_ns, span.end_ns).or_else(|| self.refuse_time(now_ns, span.start_ns));
        if let Some(refusal) = refusal {
            batch.refusals.add(refusal, 1);
            return None;
        }
        self.tally.spans += 1;
        let resource = self.resolved[span.resource as usize].of;
        let home = self.home(resource, (span.resource, span.scope))?;
        let window = self.window(now_ns, home.environment, span.end_ns)?;
        let kind = SpanKind::from_wire(span.kind);
        let slots = Slots { request, slots: &batch.slots[span.slots.range()] };
        let series = self.series(home, kind, &slots, span.name.of(request));
        let dependency = self.dependency(series, kind, &slots);
        let duration_ns = span.end_ns - span.start_ns;
        Some(Placed { at, home, window, kind, series, dependency, duration_ns })
    }

    /// Reads what some spans will be added to, so that it comes into the nearest cache for all of them at the same time. Added to
    /// one after the other, each would wait for memory three times in a row, from the cell to its lists to a bin.
    fn fetch(&self, placed: &[Option<Placed>; ABREAST]) {
        let cells = placed.map(|placed| {
            let Some(Placed { home, window, series, dependency, .. }) = placed else { return [None; 2] };
            let open = &self.windows[window].1;
            let calls = dependency.and_then(|to| open.dependencies.get(&(home.environment, to)));
            [open.cells.get(&(home.environment, series)), calls]
        });
        let mut read = 0;
        for cell in cells.iter().flatten().flatten() {
            read ^= cell.read_lists();
        }
        for (cells, placed) in cells.iter().zip(placed) {
            let Some(Placed { home, duration_ns, .. }) = placed else { continue };
            for cell in cells.iter().flatten() {
                read ^= cell.read_bins(home.instance, *duration_ns);
            }
        }
        // Nobody needs what was read, and the compiler must not know.
        std::hint::black_box(read);
    }

    fn record_span(&mut self, now_ns: u64, request: &[u8], batch: &TraceBatch, placed: Placed) {
        let Placed { at, home, window, kind, series, dependency, duration_ns } = placed;
        let span = batch.spans[at];
        self.note_facts(home, window);
        self.note_sender(span.scope, window, Seen::once(span.end_ns, home.instance));
        let slots = Slots { request, slots: &batch.slots[span.slots.range()] };
        let finished = Request {
            duration_ns,
            weight: span.adjusted_count,
            failed: outcome::failed(
                kind,
                span.status,
                slots.int(Slot::HttpStatusCode),
                slots.int(Slot::GrpcStatusCode),
            ),
            sampled: span.sampling_threshold != 0,
            root: span.parent_span_id == 0,
            instance: home.instance,
            end_ns: span.end_ns,
            young: self.young(home, window, span.end_ns),
        };
        let Shard { windows, shared, tally, scopes, .. } = self;
        let open = &mut windows[window].1;
        if let Some(dependency) = dependency {
            let calls = open.calls(home.environment, dependency, span.end_ns);
            calls.record(&finished, &shared.limits, &mut tally.hits);
        }
        let cell = open.cell(home.environment, series, span.end_ns);
        cell.record(&finished, &shared.limits, &mut tally.hits);
        let shape = span.shape ^ scopes[home.scope as usize].of.hash;
        let known = cell.count_shape(shape, home.instance);
        open.delay(home.environment, now_ns as i64 - span.end_ns as i64);
        let sampled = SampledSpan {
            trace: parents::mix(span.trace_id.of(request)),
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            service: home.service,
        };
        open.traces.entry(home.environment).or_default().add(sampled, shared.limits.sampled_spans);
        if !known {
            self.add_span_shape(home, window, (series, shape), &span, request);
        }
        self.record_sizes(home, window, series, &slots, span.end_ns);
        if in_sample(&span.span_id.to_be_bytes()) {
            let attributes = span_attributes(span.message.of(request));
            let of = (home.environment, home.service);
            self.look_at(of, window, (ItemKind::SpanAttribute, ""), attributes);
        }
        if !self.rules.values.texts.is_empty() {
            self.see_texts(home, window, None, span_attributes(span.message.of(request)));
        }
        if finished.failed {
            self.see_error_type(home, window, kind, &slots, span.end_ns);
        }
        for event in &batch.events[span.events.range()] {
            let name = text(request, event.name);
            self.see_event(home, window, name, span.end_ns);
            self.note_event(home, window, name, event_attributes(event.message.of(request)));
        }
    }

    /// The origin of a request whose instance may be warming up.
    #[inline]
    fn young(&self, home: Home, window: usize, end_ns: u64) -> Option<Origin> {
        if home.warm_from_ns == 0 || self.shared.grid.start_ns(self.windows[window].0) >= home.warm_from_ns {
            return None;
        }
        // A process that was created after its request has a clock that was set in between.
        let created_ns = home.created_ns.filter(|created_ns| *created_ns <= end_ns);
        Some(Origin { created_ns, ..home.origin() })
    }

    /// The series of an operation, from memory or from the shared table.
    pub(super) fn series(&mut self, home: Home, kind: SpanKind, slots: &Slots<'_>, name: &[u8]) -> SeriesId {
        let parts = Parts::of(|slot| slots.text_bytes(slot), name).cold(slots.is_true(Slot::FaasColdstart));
        let scope = &self.scopes[home.scope as usize].of;
        let key = (home.service, self.shared.hasher.hash_one((kind, parts)) ^ scope.hash);
        if let Some(known) = self.operations.get(&key) {
            return known;
        }
        self.name.clear();
        // One character of UTF-8 more than fits, by which the table of names sees that the name is cut.
        parts.write(self.shared.limits.name_bytes.saturating_add(4), &mut self.name);
        let mut names = self.shared.names();
        let series = names.series(home.service, &self.name, kind);
        names.carry(Carried::Series(series), &scope.name);
        drop(names);
        self.operations.insert(key, series);
        series
    }

    /// Whom a call goes to, from memory or from the shared table; `None` for what is no call and for calls to nobody.
    fn dependency(&mut self, caller: SeriesId, kind: SpanKind, slots: &Slots<'_>) -> Option<DependencyId> {
        if !matches!(kind, SpanKind::Client | SpanKind::Producer) {
            return None;
        }
        let peer = Peer::of(|slot| slots.text_bytes(slot), || slots.int(Slot::ServerPort))?;
        let key = (caller, self.shared.hasher.hash_one(peer));
        if let Some(known) = self.dependencies.get(&key) {
            return Some(known);
        }
        self.name.clear();
        peer.write(self.shared.limits.name_bytes.saturating_add(4), &mut self.name);
        let dependency = self.shared.names().dependency(caller, peer.system(), &self.name, peer.is_host());
        self.dependencies.insert(key, dependency);
        Some(dependency)
    }

    #[cold]
    fn add_span_shape(
        &mut self,
        home: Home,
        window: usize,
        (series, shape): (SeriesId, u64),
        span: &SpanRecord,
        request: &[u8],
    ) {
        let attributes = span_attributes(span.message.of(request));
        let items = self.shape(home, ItemKind::SpanAttribute, span.shape, "", attributes);
        let Shard { windows, shared, tally, .. } = self;
        let cell = windows[window].1.cell(home.environment, series, span.end_ns);
        cell.add_shape(shape, items, home.instance, &shared.limits, &mut tally.hits);
    }

    /// Notes the class of a failure: `error.type`, else the code that says that it is one.
    fn see_error_type(&mut self, home: Home, window: usize, kind: SpanKind, slots: &Slots<'_>, time_ns: u64) {
        let (http, grpc) = (slots.int(Slot::HttpStatusCode), slots.int(Slot::GrpcStatusCode));
        let code = || http.map(|code| ("HTTP", code)).or(grpc.map(|code| ("gRPC", code)));
        let failing = || outcome::code_failed(kind, http, grpc).unwrap_or(false);
        // Conventions that have no `error.type` have the code, and those that have it say the code there.
        let is_code = |name: &str| http.is_some_and(|code| name.parse() == Ok(code));
        let (name, code) = match slots.text(Slot::ErrorType) {
            Some(name) if failing() && is_code(name) => ("", code()),
            Some(name) => (name, None),
            None if failing() => ("", code()),
            None => return,
        };
        let hash = self.shared.hasher.hash_one((name, code));
        let words = || match code {
            Some((protocol, code)) => format!("{protocol} {code}"),
            None => name.to_owned(),
        };
        if let Some(item) = self.item(home, ItemKind::ErrorType, hash, || (words(), String::new())) {
            self.windows[window].1.see(home.environment, item, Seen::once(time_ns, home.instance));
        }
    }

    fn see_event(&mut self, home: Home, window: usize, name: &str, time_ns: u64) {
        let hash = self.shared.hasher.hash_one(name);
        if let Some(item) = self.item(home, ItemKind::SpanEvent, hash, || (name.to_owned(), String::new())) {
            self.windows[window].1.see(home.environment, item, Seen::once(time_ns, home.instance));
        }
    }
}

/// The attributes that the model reads, of one span or data point.
pub(super) struct Slots<'a> {
    pub request: &'a [u8],
    pub slots: &'a [(Slot, Slice)],
}

impl<'a> Slots<'a> {
    /// The `AnyValue` message of a slot.
    #[inline]
    fn message(&self, slot: Slot) -> Option<&'a [u8]> {
        let (_, at) = self.slots.iter().find(|(known, _)| *known == slot)?;
        Some(at.of(self.request))
    }

    fn value(&self, slot: Slot) -> Option<AnyValue<'a>> {
        self.message(slot).map(AnyValue::parse)
    }

    /// The slot's text.
    pub fn text(&self, slot: Slot) -> Option<&'a str> {
        match self.value(slot)? {
            AnyValue::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of the slot's text.
    pub fn text_bytes(&self, slot: Slot) -> Option<&'a [u8]> {
        text_of(self.message(slot)?)
    }

    /// The slot's whole number, written as one or as text.
    pub fn int(&self, slot: Slot) -> Option<i64> {
        int_of(self.message(slot)?)
    }

    /// Whether the slot is there and true.
    pub fn is_true(&self, slot: Slot) -> bool {
        matches!(self.value(slot), Some(AnyValue::Bool(true)))
    }

    /// Whether the slot is there at all.
    pub fn has(&self, slot: Slot) -> bool {
        self.slots.iter().any(|(known, _)| *known == slot)
    }
}

/// Text of a request; the decoder has checked it.
pub(super) fn text(request: &[u8], at: Slice) -> &str {
    std::str::from_utf8(at.of(request)).unwrap_or("")
}
