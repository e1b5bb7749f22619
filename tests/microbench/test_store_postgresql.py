"""The store on a real PostgreSQL server, and what it says when the server is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from microbench.errors import StoreError
from microbench.store import Store
from tests.microbench.measured import sample
from tests.microbench.postgresql_server import PostgresqlServer, postgresql_server
from tests.microbench.store_conformance import StoreConformance, rows


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with postgresql_server() as running:
        yield running


class TestPostgresqlStore(StoreConformance):
    @pytest.fixture
    def place(self, server: PostgresqlServer) -> str:
        return server.new_url()


def test_a_missing_database_names_the_remedy(server: PostgresqlServer) -> None:
    with pytest.raises(StoreError, match=r"absent.*createdb"):
        Store.open(server.url("absent"))


def test_a_server_that_is_not_there_names_the_remedy(server: PostgresqlServer) -> None:
    nowhere = server.url("any").replace("54329", "54330")
    with pytest.raises(StoreError, match="check that it runs"):
        Store.open(nowhere)


def test_a_password_is_not_shown(server: PostgresqlServer) -> None:
    secret = server.url("absent").replace(f"{server.user}@", f"{server.user}:secret@")
    assert "secret" in secret
    with pytest.raises(StoreError) as caught:
        Store.open(secret)
    assert "secret" not in str(caught.value)


def test_a_read_only_server_can_be_read_but_not_written(server: PostgresqlServer) -> None:
    place = server.new_url()
    with Store.open(place) as store:
        store.add(sample(1))
    database = place.split("?")[0].rsplit("/", 1)[1]
    server.execute("postgres", f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with Store.open(place) as store:
        assert store.count() == 1
        with pytest.raises(StoreError, match="read-only"):
            store.add(sample(2))
        assert store.count() == 1


def test_a_lost_connection_is_made_again(server: PostgresqlServer) -> None:
    place = server.new_url()
    with Store.open(place) as store:
        store.add(sample(1))
        server.execute(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname LIKE 'store_%%' AND pid <> pg_backend_pid()",
        )
        store.add(sample(2))
        assert store.count() == 2


def test_commits_are_on_the_disk_whatever_the_server_is_set_to(server: PostgresqlServer) -> None:
    place = server.new_url()
    database = place.split("?")[0].rsplit("/", 1)[1]
    server.execute("postgres", f"ALTER DATABASE {database} SET synchronous_commit = off")
    assert rows(place, "SHOW synchronous_commit") == [("off",)]
    with Store.open(place) as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
