//! The aggregates that are not exact: `approx_uniq` (`distinct`) and `approx_quantile` (`quantile`). A sketch of rows
//! depends on which values they have and never on their order or on how they were shared out, so every engine and
//! every run gives the same answer. The states of both, for all groups; `aggregate` feeds them.

pub mod distinct;
pub mod quantile;
