// The statement that reads the webhooks that failed several times in a row, page by page, to fill a Redis that was emptied.
import type { Pool, PoolClient } from 'pg';

/** Webhooks in the order of their ids; fewer than `limit` are the last. */
export async function listFailing(
  client: Pool | PoolClient,
  page: { readonly afterWebhookId: string; readonly minFailures: number; readonly limit: number },
): Promise<readonly string[]> {
  const { rows } = await client.query<[string]>({
    name: 'list-failing',
    text: statement,
    rowMode: 'array',
    values: [page.afterWebhookId, page.minFailures, page.limit],
  });
  return rows.map(([id]) => id);
}

// Along the primary key: a look at every webhook, which happens once for each Redis that was emptied.
const statement = `
select id from webhook_endpoints
where id > $1 and consecutive_failures >= $2 and is_active and deleted_at is null
order by id limit $3`;
