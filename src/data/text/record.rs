//! What a record of a file says, before labels are numbered.

/// The texts of a sample and its label.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub texts: Vec<String>,
    pub label: Label,
}

/// A label as it is written; empty where there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Label {
    pub text: String,
    /// Whether it is a number, not the name of a class.
    pub number: bool,
}

impl Record {
    /// Room for so many texts, which keep their memory.
    pub fn begin(&mut self, texts: usize) {
        self.texts.resize_with(texts, String::new);
        self.texts.iter_mut().for_each(String::clear);
        self.label.text.clear();
        self.label.number = false;
    }
}
