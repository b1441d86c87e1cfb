"""SQL as Django writes it: what it is about, and how to show it in a line."""

import re

NOT_OWN = re.compile(r"(?:auth|django)_\w+")  # tables of sessions and accounts, which any login needs
TABLE = re.compile(r'(?:FROM|JOIN|INTO|UPDATE) "(\w+)"')


def own(statements):
    """Return those that are about more than sessions and accounts."""
    return [sql for sql in statements if any(not NOT_OWN.fullmatch(table) for table in TABLE.findall(sql))]


def shortened(statement):
    """Return ``statement`` without quotes, the tables of its columns, and what it selects or inserts."""
    text = re.sub(r'(?:"\w+"\.)?"(\w+)"', r"\1", " ".join(statement.split()))
    text = re.sub(r"^SELECT .*? FROM", "SELECT ... FROM", text)
    return re.sub(r"\(\w+, .*", "(...)", text) if text.startswith("INSERT") else text
