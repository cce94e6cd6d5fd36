//! A table of what was used last, of things without end: origins. It is bounded, but what somebody holds is in use,
//! however long ago it was asked for, and stays.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::rc::Rc;

/// How many are looked at for one that nobody holds. So a table in which all are held costs no search of the whole for
/// each that is added; and if most are not, it comes back to its bound.
const LOOKS: usize = 16;

pub struct Recent<K, V> {
    bound: usize,
    by_key: HashMap<K, (Rc<V>, u64)>,
    /// The keys, by when they were used; those that are held, by when that was seen, too.
    by_use: BTreeMap<u64, K>,
    uses: u64,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub fn new(bound: usize) -> Self {
        Self { bound, by_key: HashMap::new(), by_use: BTreeMap::new(), uses: 0 }
    }

    /// What the table has under a key, or what it is given for it.
    pub fn of(&mut self, key: K, make: impl FnOnce() -> V) -> Rc<V> {
        if let Some((value, used)) = self.by_key.get_mut(&key) {
            let value = Rc::clone(value);
            self.uses += 1;
            self.by_use.remove(used);
            *used = self.uses;
            self.by_use.insert(self.uses, key);
            return value;
        }
        self.make_room();
        self.uses += 1;
        let value = Rc::new(make());
        self.by_use.insert(self.uses, key.clone());
        self.by_key.insert(key, (Rc::clone(&value), self.uses));
        value
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &Rc<V>)> {
        self.by_key.iter().map(|(key, (value, _))| (key, value))
    }

    fn make_room(&mut self) {
        for _ in 0..LOOKS {
            if self.by_key.len() < self.bound {
                return;
            }
            let Some((_, oldest)) = self.by_use.pop_first() else { return };
            match self.by_key.get_mut(&oldest) {
                Some((value, used)) if Rc::strong_count(value) > 1 => {
                    self.uses += 1;
                    *used = self.uses;
                    self.by_use.insert(self.uses, oldest);
                }
                _ => {
                    self.by_key.remove(&oldest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: usize = 100;

    fn keys(table: &Recent<usize, usize>) -> Vec<usize> {
        let mut keys: Vec<_> = table.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut table = Recent::new(BOUND);
        for number in 0..BOUND {
            table.of(number, || number);
        }
        table.of(0, || unreachable!());
        table.of(BOUND, || BOUND);
        assert_eq!(keys(&table), [0].into_iter().chain(2..=BOUND).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_held_stays() {
        let mut table = Recent::new(BOUND);
        let held = table.of(0, || 0);
        for number in 1..BOUND * 10 {
            table.of(number, || number);
        }
        assert!(Rc::ptr_eq(&held, &table.of(0, || unreachable!())));
        assert_eq!(keys(&table).len(), BOUND);
    }

    #[test]
    fn what_is_held_beyond_the_bound_goes_when_it_is_let_go() {
        let mut table = Recent::new(BOUND);
        let held: Vec<_> = (0..BOUND * 3).map(|number| table.of(number, || number)).collect();
        assert_eq!(keys(&table).len(), BOUND * 3);
        drop(held);
        for number in BOUND * 3..BOUND * 4 {
            table.of(number, || number);
        }
        assert_eq!(keys(&table).len(), BOUND);
        assert_eq!(table.by_use.len(), BOUND);
    }
}
