use std::collections::BTreeMap;

use crate::Group;

/// How many places of the table each group holds. No larger than the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups(BTreeMap<Group, usize>);

impl Groups {
    pub(super) fn count(&self, group: Group) -> usize {
        self.0.get(&group).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, group: Option<Group>) {
        if let Some(group) = group {
            let count = self.0.entry(group).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, group: Option<Group>) {
        let Some(group) = group else { return };
        let Some(count) = self.0.get_mut(&group) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.0.remove(&group);
        }
    }
}
