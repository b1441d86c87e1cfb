"""Many rows at once, in small transactions from the oldest on: nobody's login waits, however large the table is."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from django.db import connections, models, router, transaction
from django.db.models import signals

# Rows of one transaction: some hundredths of a second. A row that is written gets new entries in every index.
BATCH, BATCH_WRITTEN = 5000, 1000
ENDED, ERASED, DELETED = "ended", "erased", "deleted"

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Chore:
    """What is to be done with ``rows`` (a queryset): ``columns`` (a dict) are written, or without any the rows go."""

    verb: str
    rows: models.QuerySet[Any]
    columns: dict[str, Any] | None = None
    by: str = "created_at"  # the rows are taken in this field's order, which an index has

    def batches(self) -> Iterator[int]:
        """Do it, one transaction after the other; yield how many rows each of them changed."""
        rows = self.rows.using(router.db_for_write(self.rows.model))
        for batch in _ranges(rows, self.by, BATCH if self.columns is None else BATCH_WRITTEN):
            with transaction.atomic(using=rows.db):
                count = _delete(batch) if self.columns is None else _unlocked(batch).update(**self.columns)
            yield count


class Report(NamedTuple):
    """What a run did: how many rows by verb, and whether nothing is left but what others have locked."""

    done: Counter[str]
    is_complete: bool


def run(
    chores: list[Chore], seconds: float | None = None, tell: Callable[[int], object] = lambda count: None
) -> Report:
    """Do ``chores`` one after the other, for ``seconds`` at most; ``tell`` is called with the count of each batch."""
    until, done = time.monotonic() + (math.inf if seconds is None else seconds), Counter[str]()
    for chore in chores:
        for count in chore.batches():
            done[chore.verb] += count
            tell(count)
            if time.monotonic() > until:
                return Report(done, is_complete=False)
    return Report(done, is_complete=True)


def _ranges(rows: models.QuerySet[Row], by: str, size: int) -> Iterator[models.QuerySet[Row]]:
    """Yield ``rows`` in ranges of ``size``, oldest first.

    Each begins at the watermark where the one before ended: the index entries of what was deleted are not read again.
    Rows of one instant, as an import leaves them, stay together.
    """
    moments = rows.order_by(by).values_list(by, flat=True)
    mark = moments.first()
    while mark is not None:
        ahead = moments.filter(**{f"{by}__gte": mark})
        following = ahead[size : size + 1].first()
        if following == mark:
            following = ahead.filter(**{f"{by}__gt": mark}).first()
        end = {} if following is None else {f"{by}__lt": following}
        yield rows.filter(**{f"{by}__gte": mark}, **end)
        mark = following


def _unlocked(batch: models.QuerySet[Row]) -> models.QuerySet[Row]:
    """Return ``batch`` without the rows that a login or another run has locked, where the database can tell."""
    features = connections[batch.db].features
    if not features.has_select_for_update_skip_locked:
        return batch
    free = batch.select_for_update(skip_locked=True).values_list("pk", flat=True)
    if features.delete_can_self_reference_subquery:
        return batch.filter(pk__in=free)
    # MariaDB would wait for the others all the same, having come across them.
    return batch.model._base_manager.using(batch.db).filter(pk__in=list(free))


def _delete(batch: models.QuerySet[Any]) -> int:
    """Delete ``batch`` and return how many rows it was.

    Django would read every row of a model that others refer to. SET_NULL needs none of them, and is done here; where
    there is more to do, for a foreign key or a signal of the site's, Django does it.
    """
    model, references = batch.model, _references(batch.model)
    is_heard = signals.pre_delete.has_listeners(model) or signals.post_delete.has_listeners(model)
    if is_heard or any(reference.on_delete is not models.SET_NULL for reference in references):
        return _unlocked(batch).delete()[1].get(model._meta.label, 0)
    for reference in references:
        _sever(reference.field, batch)
    return _unlocked(batch)._raw_delete(batch.db) or 0  # None, where it is certain that there are none


def _references(model: type[models.Model]) -> list[models.ForeignObjectRel]:
    """Return the relations of all foreign keys to ``model``."""
    found = model._meta.get_fields(include_hidden=True)
    return [field for field in found if field.auto_created and not field.concrete and not field.many_to_many]  # type: ignore[misc]  # by that they are


def _sever(field: "models.ForeignObject[Any]", batch: models.QuerySet[Any]) -> None:
    """Empty ``field``, a foreign key, where it leads to ``batch``."""
    key = models.F("pk") + 0  # without the 0 PostgreSQL would look along the primary key, through all rows
    low, high = batch.aggregate(low=models.Min(key), high=models.Max(key)).values()
    if low is None:  # another run was here meanwhile
        return
    rows = field.model._base_manager.using(batch.db)
    # Within the bounds an index finds them. By key, as MariaDB would read the whole table for an UPDATE by subquery.
    near = rows.filter(**{f"{field.attname}__gte": low, f"{field.attname}__lte": high})
    keys = list(near.filter(**{f"{field.name}__in": batch}).values_list("pk", flat=True))
    if keys:
        rows.filter(pk__in=keys).update(**{field.name: None})
