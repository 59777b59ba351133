"""A dry run gets to its end: what refers to the answer of a delivery that was not made does not fail."""

import pytest

from intendant import Settings, SyncOrchestrationService, Workflow

FLOW = """
name: dry
inputs: {rows: {type: array, default: [1, 2]}}
steps:
  - {id: write, intent: send, uses: file.write, with: {path: out/a.txt}, input: hello}
  - id: each
    for_each: "{{ inputs.rows }}"
    intent: send
    uses: file.write
    with: {path: "out/{{ item }}.txt"}
    input: "{{ item }}"
  - id: told
    intent: filter
    input:
      - "{{ steps.write.output.path }}"
      - "{{ steps.write.output.sha256 }}"
      - "{{ steps.write.output.deep.er[0] }}"
      - "wrote {{ steps.write.output.bytes }} bytes"
      - "{{ steps.each.output[*].path }}"
      - "{{ default(steps.write.output.sha256, 'none') }}"
    options: {where: "true"}
  - id: big
    when: "steps.write.output.bytes > 3"
    intent: filter
    input: [1]
    options: {where: "true"}
  - id: after
    needs: [big]
    join: done
    intent: filter
    input: "{{ default(steps.big.output, []) }}"
    options: {where: "true"}
"""


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SyncOrchestrationService(Settings.load({}, env={}, file=None), db="none") as made:
        yield made


def test_what_needs_a_receipt_reads_the_delivery_or_null(service, tmp_path) -> None:
    result = service.run(Workflow.parse(FLOW), dry=True)
    assert result.status == "completed", result.failures
    paths = ["out/1.txt", "out/2.txt"]
    assert result.outputs["told"] == ["out/a.txt", None, None, "wrote  bytes", paths, "none"]
    assert result.steps["big"].status == "skipped"
    assert "the run is dry" in result.steps["big"].reason
    assert result.outputs["after"] == []
    assert not (tmp_path / "out").exists()


def test_what_a_dry_run_would_make_of_its_receipts_holds_when_it_is_not_dry(service) -> None:
    result = service.run(Workflow.parse(FLOW.replace(".deep.er[0]", ".path")))
    assert result.status == "completed", result.failures
    assert result.outputs["big"] == [1]


def test_a_field_that_no_delivery_has_is_a_mistake_in_other_runs(service) -> None:
    result = service.run(Workflow.parse(FLOW))
    assert "names something that is not there" in result.failures["told"].message


def test_data_that_looks_like_a_dry_receipt_is_data(service) -> None:
    """Outside of dry runs, and in them where it came with the input."""
    looks = '{"dry": true, "operation": "a", "with": {}, "input": 1}'
    text = f"""
name: looks
steps:
  - {{id: a, intent: filter, input: [{looks}], options: {{where: "true"}}}}
  - {{id: b, intent: filter, input: ["{{{{ steps.a.output[0].nothing }}}}"], options: {{where: "true"}}}}
"""
    assert "b" in service.run(Workflow.parse(text)).failures


def test_an_address_with_what_a_delivery_would_have_answered_is_no_error(service) -> None:
    flow = Workflow.parse("""
name: dry
steps:
  - {id: book, intent: send, uses: http.post, with: {url: "https://hotel.example/bookings", json: {nights: 2}}}
  - id: confirm
    intent: send
    uses: http.put
    with: {url: "https://hotel.example/bookings/{{ steps.book.output.id }}/confirm", json: {ok: true}}
""")
    result = service.run(flow, dry=True)
    assert result.status == "completed", result.failures
    assert result.outputs["confirm"]["with"]["url"] == "https://hotel.example/bookings//confirm"
