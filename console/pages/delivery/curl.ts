// A delivery as a shell script that sends it again, signed as of the moment it runs: receivers refuse old timestamps.
import type { Delivery } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';

export function curlScript(delivery: Delivery, url: string, signatureHeader: string): string {
  return `SECRET='whsec_…'  # the signing secret of ${delivery.webhookId}
BODY=${quote(delivery.body ?? '')}
ID=${quote(delivery.id)}
TIMESTAMP=$(date +%s)
KEY=$(printf %s "\${SECRET#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \\n')
V1=$(printf %s "$ID.$TIMESTAMP.$BODY" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$KEY" -binary | base64)
PLAIN=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" -r | cut -d' ' -f1)
curl -i ${quote(url)} \\
  -H 'Content-Type: application/json' \\
  -H "webhook-id: $ID" \\
  -H "webhook-timestamp: $TIMESTAMP" \\
  -H "webhook-signature: v1,$V1" \\
  -H "${signatureHeader}: sha256=$PLAIN" \\
  -H ${quote(`X-HomeChef-Event: ${delivery.eventType}`)} \\
  -H "X-HomeChef-Delivery: $ID" \\
  --data-binary "$BODY"
`;
}

/** Between single quotes a shell changes nothing; a quote itself ends them, is escaped, and begins them again. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
