// The migrations, and what runs them. Loaded only when one is missing: MikroORM would be the largest part of a start.
import { Migrator } from '@mikro-orm/migrations';
import { MikroORM } from '@mikro-orm/postgresql';
import { Migration20261123000000_initial } from '../../migrations/Migration20261123000000_initial.ts';
import { Migration20261127000000_untried_deliveries_have_not_changed } from '../../migrations/Migration20261127000000_untried_deliveries_have_not_changed.ts';
import { Migration20261127120000_first_tries_enter_no_index } from '../../migrations/Migration20261127120000_first_tries_enter_no_index.ts';
import { Migration20261128050000_add_response_oddity } from '../../migrations/Migration20261128050000_add_response_oddity.ts';
import { Migration20261128060000_read_the_view_in_parallel_plans } from '../../migrations/Migration20261128060000_read_the_view_in_parallel_plans.ts';
import { Migration20261128070000_know_whom_redis_serves } from '../../migrations/Migration20261128070000_know_whom_redis_serves.ts';
import { Migration20261128080000_move_rows_in_the_way_of_a_partition } from '../../migrations/Migration20261128080000_move_rows_in_the_way_of_a_partition.ts';
import { Migration20261128110000_find_due_deliveries_by_time } from '../../migrations/Migration20261128110000_find_due_deliveries_by_time.ts';
import { Migration20261128120000_know_who_holds_what } from '../../migrations/Migration20261128120000_know_who_holds_what.ts';
import { Migration20261128121000_sum_up_the_log } from '../../migrations/Migration20261128121000_sum_up_the_log.ts';
import { Migration20261128123100_keep_answers_of_calls } from '../../migrations/Migration20261128123100_keep_answers_of_calls.ts';
import { Migration20261128130940_hold_deliveries_of_paused_webhooks } from '../../migrations/Migration20261128130940_hold_deliveries_of_paused_webhooks.ts';
import { Migration20261128131900_keep_event_types_as_rows } from '../../migrations/Migration20261128131900_keep_event_types_as_rows.ts';
import { Migration20261128135000_let_a_failing_webhook_be_paused } from '../../migrations/Migration20261128135000_let_a_failing_webhook_be_paused.ts';
import { Migration20261128140500_keep_the_history_of_webhooks } from '../../migrations/Migration20261128140500_keep_the_history_of_webhooks.ts';
import { Migration20261128161500_filter_what_a_webhook_gets } from '../../migrations/Migration20261128161500_filter_what_a_webhook_gets.ts';
import { Migration20261128164000_keep_the_order_of_a_key } from '../../migrations/Migration20261128164000_keep_the_order_of_a_key.ts';
import { Migration20261128165000_probe_webhooks_that_failed } from '../../migrations/Migration20261128165000_probe_webhooks_that_failed.ts';
import { Migration20261128170500_remember_notices_of_failing } from '../../migrations/Migration20261128170500_remember_notices_of_failing.ts';
import { Migration20261128172000_note_certificates_near_their_end } from '../../migrations/Migration20261128172000_note_certificates_near_their_end.ts';
import { Migration20261128192600_sign_with_keys_of_the_service } from '../../migrations/Migration20261128192600_sign_with_keys_of_the_service.ts';
import { Migration20261128195000_lock_heads_in_a_function } from '../../migrations/Migration20261128195000_lock_heads_in_a_function.ts';
import { Migration20261128200000_end_what_comes_too_late } from '../../migrations/Migration20261128200000_end_what_comes_too_late.ts';
import { Migration20261128201300_show_a_client_certificate } from '../../migrations/Migration20261128201300_show_a_client_certificate.ts';
import { Migration20261128201500_find_deliveries_by_their_error } from '../../migrations/Migration20261128201500_find_deliveries_by_their_error.ts';
import { Migration20261128203700_find_what_ended_and_what_is_not_probed } from '../../migrations/Migration20261128203700_find_what_ended_and_what_is_not_probed.ts';
import { Migration20261128231500_end_the_wait_with_the_request } from '../../migrations/Migration20261128231500_end_the_wait_with_the_request.ts';
import { Migration20261128232800_ask_for_access_tokens } from '../../migrations/Migration20261128232800_ask_for_access_tokens.ts';
import { Migration20261128232900_keep_what_went_over_the_wire } from '../../migrations/Migration20261128232900_keep_what_went_over_the_wire.ts';
import { Migration20261128233900_send_some_fields_alone } from '../../migrations/Migration20261128233900_send_some_fields_alone.ts';
import { Migration20261129000600_keep_the_newest_of_a_collapse_key } from '../../migrations/Migration20261129000600_keep_the_newest_of_a_collapse_key.ts';
import type { DatabaseConfig } from '../config.ts';
import { entities } from './orm.ts';
import { connectionOptions } from './pool.ts';
import { sessionOptions } from './session.ts';

/** In the order they run. Named here, not found by a glob: the list is part of the program. */
const migrations = [
  { name: 'Migration20261123000000_initial', class: Migration20261123000000_initial },
  {
    name: 'Migration20261127000000_untried_deliveries_have_not_changed',
    class: Migration20261127000000_untried_deliveries_have_not_changed,
  },
  { name: 'Migration20261127120000_first_tries_enter_no_index', class: Migration20261127120000_first_tries_enter_no_index },
  { name: 'Migration20261128050000_add_response_oddity', class: Migration20261128050000_add_response_oddity },
  {
    name: 'Migration20261128060000_read_the_view_in_parallel_plans',
    class: Migration20261128060000_read_the_view_in_parallel_plans,
  },
  { name: 'Migration20261128070000_know_whom_redis_serves', class: Migration20261128070000_know_whom_redis_serves },
  {
    name: 'Migration20261128080000_move_rows_in_the_way_of_a_partition',
    class: Migration20261128080000_move_rows_in_the_way_of_a_partition,
  },
  { name: 'Migration20261128110000_find_due_deliveries_by_time', class: Migration20261128110000_find_due_deliveries_by_time },
  { name: 'Migration20261128120000_know_who_holds_what', class: Migration20261128120000_know_who_holds_what },
  { name: 'Migration20261128121000_sum_up_the_log', class: Migration20261128121000_sum_up_the_log },
  { name: 'Migration20261128123100_keep_answers_of_calls', class: Migration20261128123100_keep_answers_of_calls },
  {
    name: 'Migration20261128130940_hold_deliveries_of_paused_webhooks',
    class: Migration20261128130940_hold_deliveries_of_paused_webhooks,
  },
  { name: 'Migration20261128131900_keep_event_types_as_rows', class: Migration20261128131900_keep_event_types_as_rows },
  {
    name: 'Migration20261128135000_let_a_failing_webhook_be_paused',
    class: Migration20261128135000_let_a_failing_webhook_be_paused,
  },
  {
    name: 'Migration20261128140500_keep_the_history_of_webhooks',
    class: Migration20261128140500_keep_the_history_of_webhooks,
  },
  { name: 'Migration20261128161500_filter_what_a_webhook_gets', class: Migration20261128161500_filter_what_a_webhook_gets },
  { name: 'Migration20261128164000_keep_the_order_of_a_key', class: Migration20261128164000_keep_the_order_of_a_key },
  { name: 'Migration20261128165000_probe_webhooks_that_failed', class: Migration20261128165000_probe_webhooks_that_failed },
  { name: 'Migration20261128170500_remember_notices_of_failing', class: Migration20261128170500_remember_notices_of_failing },
  {
    name: 'Migration20261128172000_note_certificates_near_their_end',
    class: Migration20261128172000_note_certificates_near_their_end,
  },
  {
    name: 'Migration20261128192600_sign_with_keys_of_the_service',
    class: Migration20261128192600_sign_with_keys_of_the_service,
  },
  { name: 'Migration20261128195000_lock_heads_in_a_function', class: Migration20261128195000_lock_heads_in_a_function },
  { name: 'Migration20261128200000_end_what_comes_too_late', class: Migration20261128200000_end_what_comes_too_late },
  { name: 'Migration20261128201300_show_a_client_certificate', class: Migration20261128201300_show_a_client_certificate },
  {
    name: 'Migration20261128201500_find_deliveries_by_their_error',
    class: Migration20261128201500_find_deliveries_by_their_error,
  },
  {
    name: 'Migration20261128203700_find_what_ended_and_what_is_not_probed',
    class: Migration20261128203700_find_what_ended_and_what_is_not_probed,
  },
  {
    name: 'Migration20261128231500_end_the_wait_with_the_request',
    class: Migration20261128231500_end_the_wait_with_the_request,
  },
  { name: 'Migration20261128232800_ask_for_access_tokens', class: Migration20261128232800_ask_for_access_tokens },
  { name: 'Migration20261128232900_keep_what_went_over_the_wire', class: Migration20261128232900_keep_what_went_over_the_wire },
  { name: 'Migration20261128233900_send_some_fields_alone', class: Migration20261128233900_send_some_fields_alone },
  {
    name: 'Migration20261129000600_keep_the_newest_of_a_collapse_key',
    class: Migration20261129000600_keep_the_newest_of_a_collapse_key,
  },
];

/** Runs those that are missing. Returns their names. To be called by the holder of the lock of migrations. */
export async function runMissing(database: DatabaseConfig, onStart: (name: string) => void = () => {}): Promise<string[]> {
  const orm = await openForMigration(database);
  orm.migrator.on('migrating', ({ name }) => onStart(name));
  try {
    const done = await orm.migrator.up();
    return done.map((migration) => migration.name);
  } finally {
    await orm.close(true);
  }
}

/** Its `migrator` goes up and down. Without the limits of the service's own connections: an index on a large table may take its time. */
export function openForMigration(database: DatabaseConfig) {
  return MikroORM.init({
    entities,
    extensions: [Migrator],
    host: database.host,
    port: database.port,
    user: database.user,
    password: database.password,
    dbName: database.name,
    pool: { min: 0, max: 1 },
    driverOptions: {
      ssl: connectionOptions(database).ssl,
      application_name: 'homechef-webhooks migration',
      options: sessionOptions(),
      keepAlive: true,
    },
    migrations: { migrationsList: migrations, snapshot: false, disableForeignKeys: false },
    debug: false,
    logger: () => {},
  });
}
