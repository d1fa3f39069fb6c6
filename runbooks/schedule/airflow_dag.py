"""Pin health from Airflow 3, with its PapermillOperator (apache-airflow-providers-papermill).

Airflow's worker needs `pip install "irkit[workbench]"`. `airflow dags test pin_health` runs it once; tried with Airflow
3.3.2 and provider 3.13.3. The task fails when the notebook does; what it found is in /var/lib/irkit and its alerts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.papermill.operators.papermill import PapermillOperator
from airflow.sdk import DAG

with DAG(
    "pin_health",
    schedule="0 6 * * *",
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    catchup=False,
    dagrun_timeout=timedelta(minutes=10),
):
    PapermillOperator(
        task_id="look",
        input_nb="/opt/irkit/notebooks/pin_health.ipynb",
        output_nb="/var/lib/irkit/airflow-{{ ts_nodash }}.ipynb",
        kernel_name="python3",
        language_name="python",
        parameters={"hosts": "/etc/irkit/hosts.toml", "out": "/var/lib/irkit"},
        execution_timeout=timedelta(minutes=5),
    )
