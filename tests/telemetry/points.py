"""Reading what an SDK has gathered."""

from __future__ import annotations


def points(reader, name, model):
    """The data points of one instrument for one model."""
    return gathered(reader, model).get(name, [])


def gathered(reader, model):
    """All data points of one model at one time, by instrument: an SDK gives out an exemplar once."""
    data = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics if data else []:
        for scope in resource.scope_metrics:
            assert scope.scope.name == "inprocml"
            for metric in scope.metrics:
                own = [p for p in metric.data.data_points if p.attributes["inprocml.model.name"] == model]
                if own:
                    found[metric.name] = own
    return found
