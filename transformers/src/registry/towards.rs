//! Which rules decide what events of certain types look like.

use std::collections::BTreeSet;

use eventlift_events::{EventType, SchemaVersion};

use super::lift::Registry;
use crate::upcaster::Schema;

impl Registry {
    /// The name and fingerprint of every rule that may have made, or changed, the events of the wanted types and
    /// versions, in the order of [`parts`](Self::parts): the upcasters from which a chain leads to one of them, and
    /// all general and stateful rules, since those may make any event of any other.
    pub fn parts_towards(&self, wanted: impl Fn(&EventType, SchemaVersion) -> bool) -> Vec<(String, String)> {
        let is_wanted = |schema: &Schema| wanted(&schema.event_type, schema.version);
        let mut leading: BTreeSet<usize> = BTreeSet::new();
        loop {
            let sources: Vec<&Schema> = leading.iter().filter_map(|i| self.upcasters[*i].from.as_ref()).collect();
            let leads = |upcaster: &super::lift::Compiled| {
                upcaster.to.iter().any(|target| is_wanted(target) || sources.contains(&target))
                    // Dropping them decides whether they are there.
                    || upcaster.from.as_ref().is_some_and(is_wanted)
            };
            let found: BTreeSet<usize> = (0..self.upcasters.len()).filter(|i| leads(&self.upcasters[*i])).collect();
            if found.len() == leading.len() {
                break;
            }
            leading = found;
        }
        let left_out: BTreeSet<&str> = (0..self.upcasters.len())
            .filter(|index| !leading.contains(index))
            .map(|index| &*self.upcasters[index].name)
            .collect();
        self.parts().into_iter().filter(|(name, _)| !left_out.contains(&**name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Definitions, Keys};

    #[test]
    fn only_the_chains_that_end_in_a_wanted_type_count() {
        let user =
            "type = 'User'\ncurrent = 3\n[[upcast]]\nfrom = 1\nname = 'one'\n[[upcast]]\nfrom = 2\nname = 'two'\n";
        let split = "type = 'Both'\nretired = true\n[[upcast]]\nfrom = 1\nname = 'both'\n\
                     split = [{ type = 'User', version = 2 }, { type = 'Order', version = 1 }]\n";
        let order = "[current]\nOrder = 1\n";
        let other = "type = 'Other'\ncurrent = 2\n[[upcast]]\nfrom = 1\nname = 'other'\n";
        let files =
            [("a", user), ("b", split), ("c", other), ("d", order)].map(|(path, text)| (path.into(), text.to_owned()));
        let registry = Definitions::load(files, &Keys::new()).unwrap().register(Registry::builder()).build().unwrap();
        let towards = |wanted: &str, version: u32| -> Vec<String> {
            let parts = registry.parts_towards(|name, v| name.as_str() == wanted && v.number() == version);
            parts.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(towards("User", 3), ["both", "one", "two"]);
        assert_eq!(towards("Order", 1), ["both"]);
        assert_eq!(towards("Other", 2), ["other"]);
        assert!(towards("Nothing", 1).is_empty());
    }
}
