//! Tables from CSV files.

mod number;
mod quotes;
mod read;
mod schema;
mod settings;
mod stream;

pub use self::settings::Csv;
pub use self::stream::CsvSource;
