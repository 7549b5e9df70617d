// A webhook as people know it: where it points, with the scheme left out and the path lighter.
import type { Webhook } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { Identifier } from './identifier.tsx';

export function WebhookUrl({ url }: { url: string }) {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null) return <span class="url">{url}</span>;
  const rest = parsed.pathname + parsed.search;
  return (
    <span class="url" title={url}>
      {parsed.host}
      {rest !== '/' && <span class="url-path">{rest}</span>}
    </span>
  );
}

/** By URL where it is known, else by id. */
export function WebhookLink({ id, webhook }: { id: string; webhook: Webhook | undefined }) {
  if (webhook === undefined) return <Identifier id={id} href={`/webhooks/${id}`} />;
  return (
    <a href={`/webhooks/${id}`} class="webhook-link">
      <WebhookUrl url={webhook.url} />
    </a>
  );
}
