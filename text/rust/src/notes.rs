//! What a person should know of a folder whose files disagree, and what was made of it.

/// So many things of one kind are named.
const SHOWN: usize = 6;

#[derive(Default)]
pub struct Notes {
    /// What is said, and the things that it is said of, in the order in which they came.
    kinds: Vec<(String, Vec<String>)>,
}

impl Notes {
    /// `what` may hold a `%`, where the names of all things of its kind are written; `thing` is empty without one.
    pub fn add(&mut self, what: &str, thing: &str) {
        match self.kinds.iter_mut().find(|kind| kind.0 == what) {
            Some(kind) => kind.1.push(thing.to_owned()),
            None => self.kinds.push((what.to_owned(), vec![thing.to_owned()])),
        }
    }

    pub fn into_lines(self) -> Vec<String> {
        self.kinds
            .into_iter()
            .map(|(what, things)| {
                if !what.contains('%') {
                    return what;
                }
                let mut names = things[..things.len().min(SHOWN)].join(", ");
                if things.len() > SHOWN {
                    names.push_str(&format!(" and {} more", things.len() - SHOWN));
                }
                what.replacen('%', &names, 1)
            })
            .collect()
    }
}
