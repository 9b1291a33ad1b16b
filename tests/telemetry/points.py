"""Reading what an SDK has gathered."""

from __future__ import annotations


def points(reader, name, model):
    """The data points of one instrument for one model."""
    data = reader.get_metrics_data()
    found = []
    for resource in data.resource_metrics if data else []:
        for scope in resource.scope_metrics:
            assert scope.scope.name == "inprocml"
            for metric in scope.metrics:
                if metric.name == name:
                    found += [
                        p for p in metric.data.data_points if p.attributes["inprocml.model.name"] == model
                    ]
    return found
