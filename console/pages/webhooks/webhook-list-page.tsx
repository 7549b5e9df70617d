// All webhooks, newest first.
import { webhooks } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { seesEverybody } from '../../api/session.ts';
import { TextFilter } from '../../components/filters.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { Pager } from '../../components/pager.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { plural } from '../../format/number.ts';
import { TryIt } from '../../components/try-it.tsx';
import { address, query } from '../../router.ts';
import { ShownWebhooks } from './shown-webhooks.tsx';
import { WebhookTable } from './webhook-table.tsx';

const PAGE_SIZE = 50;

export function WebhookListPage() {
  const userId = query.value.get('user_id') ?? '';
  const q = query.value.get('q') ?? '';
  const pageToken = query.value.get('page_token') ?? '';
  const page = useResource(address.value.query, (signal) =>
    webhooks.listWebhooks({ limit: PAGE_SIZE, userId, q, pageToken }, { signal }),
  );
  return (
    <>
      <PageHead
        title="Webhooks"
        {...(page.data === undefined || page.data.total === 0 ? {} : { lead: plural(page.data.total, 'webhook') })}
      >
        <a class="button primary" href="/webhooks/new">
          New webhook
        </a>
      </PageHead>
      <div class="toolbar">
        <TextFilter name="q" label="Contains" placeholder="part of a URL" />
        {seesEverybody() && <TextFilter name="user_id" label="User" placeholder="user id" />}
      </div>
      <Loaded from={page} lines={8}>
        {(data) =>
          data.webhooks.length === 0 ? (
            <Empty title={emptyTitle(userId, q)}>
              <p>A webhook is an address of yours that events are POSTed to, signed.</p>
              <a class="button primary" href="/webhooks/new">
                Create a webhook
              </a>
              {userId === '' && q === '' && <TryIt />}
            </Empty>
          ) : (
            <>
              {q !== '' && <ShownWebhooks list={data.webhooks} onChanged={page.reload} />}
              <WebhookTable list={data.webhooks} />
              <Pager nextToken={data.nextPageToken} />
            </>
          )
        }
      </Loaded>
    </>
  );
}

function emptyTitle(userId: string, q: string): string {
  if (q !== '') return `No webhook has “${q}” in its URL, description or id`;
  return userId === '' ? 'No webhooks yet' : `${userId} has no webhooks`;
}
