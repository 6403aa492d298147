//! Configurations as values: one enum for each kind of thing (losses, metrics, optimizers, schedules), tagged by class.

/// An enum of all classes of a kind, one of which holds what is from outside this crate, and the way back from it.
macro_rules! config_enum {
    (
        $(#[$doc:meta])*
        $name:ident: $kind:literal {
            $($class:ident)+
            $(; $other:ident($of:ty) |$that:ident| $other_makes:expr)?
        }
        $(#[$into_doc:meta])*
        $vis:vis fn $into:ident$(<$t:ident>)?($($arg:ident: $arg_type:ty)?) -> $made:ty { |$it:ident| $makes:expr }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(tag = "class", content = "config", deny_unknown_fields))]
        #[non_exhaustive]
        #[allow(missing_docs)]
        pub enum $name {
            $($class($class),)+
            $($other($of),)?
            #[doc = concat!("What is not of this crate (a class of your own, as a ", $kind, "): its name, and its settings as JSON, or nothing.")]
            Custom {
                class: String,
                settings: String,
            },
        }

        impl $name {
            /// The names of all classes of this crate.
            pub const CLASSES: &[&str] = &[$(stringify!($class)),+ $(, stringify!($other))?];

            #[doc = concat!("The configuration of a class of your own (as a ", $kind, "), for its `config`: its name, and what serde writes of it. \
                `model::Registry` makes it again.")]
            #[cfg(feature = "files")]
            pub fn own(class: &str, settings: &impl serde::Serialize) -> Self {
                Self::Custom { class: class.to_owned(), settings: crate::config::settings(settings) }
            }

            $(#[$into_doc])*
            ///
            /// # Errors
            /// [`Error::Config`](crate::Error::Config) for a [`Custom`](Self::Custom) one, which only its own crate can make.
            $vis fn $into$(<$t: crate::tensor::Float>)?(self $(, $arg: $arg_type)?) -> crate::error::Result<$made> {
                Ok(match self {
                    $(Self::$class($it) => $makes,)+
                    $(Self::$other($that) => $other_makes,)?
                    Self::Custom { class, .. } => return Err(crate::config::foreign($kind, &class)),
                })
            }
        }
    };
}

pub(crate) use config_enum;

use crate::error::Error;

/// The error of what a file alone cannot make.
pub(crate) fn foreign(kind: &str, class: &str) -> Error {
    let problem = format!("{class} is {} {kind} of your own, which a file cannot make", article(kind));
    let hint = format!(
        "say what it is: Model::load_with(path, &Registry::builtin().with_{kind}::<{}>({class:?}))",
        if class.chars().next().is_some_and(char::is_uppercase) { class } else { "Mine" }
    );
    Error::Config { op: "load", problem, hint }
}

/// `a`, or `an` before a vowel.
pub(crate) fn article(kind: &str) -> &'static str {
    if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Settings of a class of one's own as JSON; text that is no JSON, and says why, where serde cannot write them.
#[cfg(feature = "files")]
pub(crate) fn settings(settings: &impl serde::Serialize) -> String {
    serde_json::to_string(settings).unwrap_or_else(|e| format!("not written: {e}"))
}
