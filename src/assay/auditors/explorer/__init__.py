"""The explorer: an auditor without a language model. `explore` plays an audit; the other modules are its steps."""

from assay.auditors.explorer.explore import explorer as explorer
