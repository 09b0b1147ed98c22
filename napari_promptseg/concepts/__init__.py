"""From a region that someone drew to words: measured attributes, ranked names, and the sentence they make."""
