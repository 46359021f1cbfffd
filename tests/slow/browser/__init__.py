"""A package, so that a fixture can last as long as the tests of this folder."""
