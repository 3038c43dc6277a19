//! Resources and scopes → presence: who sends is telemetry too.
//!
//! They are looked up once a request, scope and window, and never for each span.

use super::open::Seen;
use super::shard::{Resource, Shard, type_form};
use super::spans::text;
use crate::model::form::{self, Field};
use crate::model::names::Carried;
use crate::model::{ItemId, ItemKind, ServiceId};
use crate::wire::any_value::AnyValue;
use crate::wire::{ResourceRecord, ScopeRecord, resource_attributes, scope_name_version};
use std::hash::BuildHasher;
use std::sync::Arc;

/// What one scope of a request sent that lies in one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    scope: u32,
    window: usize,
    seen: Seen,
}

impl Shard {
    /// Notes that a scope sent something: the scope and its resource are telemetry too. They are looked up once a request
    /// and window, in [`Shard::see_senders`]; what a scope sent lies together in a request.
    #[inline]
    pub(super) fn note_sender(&mut self, scope: u32, window: usize, seen: Seen) {
        let mut of_scope = self.runs.iter_mut().rev().take_while(|run| run.scope == scope);
        match of_scope.find(|run| run.window == window) {
            Some(run) => run.seen.merge(seen),
            None => self.runs.push(Run { scope, window, seen }),
        }
    }

    /// Notes in the windows who sent a request. A data point can name another service than its resource; then neither
    /// resource nor scope is that service's.
    pub(super) fn see_senders(
        &mut self,
        request: &[u8],
        resources: &[ResourceRecord],
        scopes: &[ScopeRecord],
    ) {
        let mut runs = std::mem::take(&mut self.runs);
        for Run { scope, window, seen } in runs.drain(..) {
            let scope = scopes[scope as usize];
            let Resource { environment, service, .. } = self.resolved[scope.resource as usize].of;
            let Some((environment, service)) = environment.zip(service) else { continue };
            let resource = resources[scope.resource as usize];
            let sent = [
                (scope.hash, ItemKind::Scope, scope.bytes, scope.schema_url),
                (resource.hash, ItemKind::Resource, resource.bytes, resource.schema_url),
            ];
            for (hash, kind, message, schema_url) in sent {
                let schema_url = text(request, schema_url);
                let hash = self.shared.hasher.hash_one((hash, schema_url));
                let items = self.sender_items((service, kind, hash), message.of(request), schema_url);
                let is_new =
                    !self.windows[window].1.senders.contains_key(&(environment, service, kind, hash));
                if is_new && kind == ItemKind::Resource {
                    let attributes = resource_attributes(message.of(request));
                    let attribute = (ItemKind::ResourceAttribute, "");
                    self.look_at((environment, service), window, attribute, attributes);
                }
                self.windows[window].1.see_sender((environment, service, kind, hash), items, seen);
            }
        }
        self.runs = runs;
    }

    /// A scope's item, or a resource's and those of its attributes, from memory or from the shared table.
    fn sender_items(
        &mut self,
        key: (ServiceId, ItemKind, u64),
        message: &[u8],
        schema_url: &str,
    ) -> Arc<[ItemId]> {
        if let Some(known) = self.shapes.get(&key) {
            return known;
        }
        let (service, kind, _) = key;
        let mut names = self.shared.names();
        let items: Vec<ItemId> = match kind {
            ItemKind::Scope => {
                let (name, version) = scope_name_version(message);
                let form = form::write(&[(Field::Version, version), (Field::SchemaUrl, schema_url)]);
                let item = names.item(service, kind, name, &form);
                // What is missing with its library is told with it.
                item.iter().for_each(|item| names.carry(Carried::Item(*item), &Arc::from(name)));
                item.into_iter().collect()
            }
            _ => {
                let form = form::write(&[(Field::SchemaUrl, schema_url)]);
                let attribute = |(key, value): (&str, AnyValue<'_>)| (key.to_owned(), type_form(&value));
                let mut all = vec![(kind, String::new(), form)];
                all.extend(
                    resource_attributes(message)
                        .map(attribute)
                        .map(|(key, form)| (ItemKind::ResourceAttribute, key, form)),
                );
                all.iter().filter_map(|(kind, name, form)| names.item(service, *kind, name, form)).collect()
            }
        };
        drop(names);
        self.remember(key, items)
    }
}
