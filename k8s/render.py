#!/usr/bin/env python3
"""Renders the chart into k8s/manifests with Helm's own engine, for clusters that are not run with Helm.

Without the migration job: a Job cannot be changed, so applying the manifests again with another image would fail, and each process migrates
as it starts, under a lock and before it serves. Needs `pip install helm-python-sdk` (Helm as a library);
`helm template webhook-service <chart> -n homechef --set migration.enabled=false` gives the same.
"""
import hashlib
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
CHART = HERE / "helm-charts" / "homechef-microservices"


def chart_digest() -> str:
    """Over everything the chart is made of; tests/packaging computes the same, so that a chart cannot change unrendered."""
    digest = hashlib.sha256()
    for name in sorted(p.relative_to(CHART).as_posix() for p in CHART.rglob("*") if p.is_file()):
        digest.update(name.encode() + b"\0" + (CHART / name).read_bytes() + b"\0")
    return digest.hexdigest()


def main() -> None:
    import helm_python

    chart = helm_python.Chart.load(str(CHART))
    problems = helm_python.lint(str(CHART))
    print(problems, file=sys.stderr)
    rendered = chart.render({"migration": {"enabled": False}}, name="webhook-service", namespace="homechef", is_install=True)
    target = HERE / "manifests"
    for old in target.glob("*.yaml"):
        old.unlink()
    for path, text in sorted(rendered.items()):
        name = pathlib.PurePosixPath(path).name
        if not name.endswith(".yaml") or not text.strip():
            continue
        header = f"# Rendered from k8s/helm-charts/homechef-microservices by k8s/render.py; change the chart, not this file.\n# chart sha256 {chart_digest()}\n"
        body = "\n".join(line.rstrip() for line in text.strip().splitlines())
        (target / name).write_text(f"{header}{body}\n")


if __name__ == "__main__":
    main()
