//! A load test on its way to the store: what is not there yet, and what becomes durable when it is.

use super::{Draft, Session};
use crate::checkpoint::{Unsaved, Urgency};
use crate::moment::Moment;

impl Session {
    /// What is not stored.
    pub(crate) fn unsaved(&self) -> &Unsaved {
        &self.unsaved
    }

    /// Whether everything was taken in that ever will be, and is stored.
    pub fn is_closed(&self) -> bool {
        self.concluded && self.unsaved.is_empty() && self.saving.is_empty()
    }

    /// All of it as it is now, to be stored. Until [`Session::saved`] or [`Session::not_saved`] there is no other one.
    pub fn begin_save(&mut self) -> Draft {
        self.saving = std::mem::take(&mut self.unsaved);
        self.start_in_draft = self.start.is_to_be_stored();
        for worker in self.members.values_mut() {
            worker.begin_save();
        }
        self.draft()
    }

    /// What the last [`Draft`] had is stored.
    pub fn saved(&mut self, now: Moment) {
        self.saving = Unsaved::default();
        let mut is_news = false;
        for worker in self.members.values_mut() {
            is_news |= worker.saved();
        }
        if std::mem::take(&mut self.start_in_draft) {
            let meant = self.start;
            self.start = meant.stored(self.workers, now);
            is_news = true;
            if self.start.moment() != meant.moment() {
                self.unsaved.note(Urgency::Now, now);
            }
        }
        self.news |= is_news;
    }

    /// What the last [`Draft`] had is not stored, or that is not known.
    pub fn not_saved(&mut self) {
        let saving = std::mem::take(&mut self.saving);
        self.unsaved.merge(&saving);
        self.start_in_draft = false;
        for worker in self.members.values_mut() {
            worker.not_saved();
        }
    }
}
