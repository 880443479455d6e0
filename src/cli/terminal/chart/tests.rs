//! Whole charts as text, as a pipe gets them: 80 columns without colours.

use super::*;
