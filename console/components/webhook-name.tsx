// A webhook as people know it: where it points, with the scheme left out, the path lighter, and long ones shortened in the middle.
import type { Webhook } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { shortened } from '../format/shortened.ts';
import { Identifier } from './identifier.tsx';

/** Characters of a host and of a path that one line has room for. */
const MAX_HOST = 40;
const MAX_PATH = 36;

export function WebhookUrl({ url }: { url: string }) {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null) return <span class="url">{url}</span>;
  const rest = parsed.pathname + parsed.search;
  return (
    <span class="url" title={url}>
      {shortened(parsed.host, MAX_HOST)}
      {rest !== '/' && <span class="url-path">{shortened(rest, MAX_PATH)}</span>}
    </span>
  );
}

/** By URL where it is known, else by id. */
export function WebhookLink({ id, webhook }: { id: string; webhook: Pick<Webhook, 'url'> | undefined }) {
  if (webhook === undefined) return <Identifier id={id} href={`/webhooks/${id}`} />;
  return (
    <a href={`/webhooks/${id}`} class="webhook-link">
      <WebhookUrl url={webhook.url} />
    </a>
  );
}
