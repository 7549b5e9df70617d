// Copies the delivery as a script for the reader's own shell.
import type { Delivery } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { directory } from '../../api/webhook-directory.ts';
import { CopyButton } from '../../components/copy-button.tsx';
import { signatureHeader } from '../../environment.ts';
import { curlScript } from './curl.ts';

export function CopyCurl({ delivery }: { delivery: Delivery }) {
  const url = directory.value.byId.get(delivery.webhookId)?.url ?? 'https://example.com/your-receiver';
  return <CopyButton label="Copy as curl" text={() => curlScript(delivery, url, signatureHeader)} />;
}
