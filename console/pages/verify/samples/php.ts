// Verification in PHP.
import type { Sample } from './sample.ts';

export const php: Sample = {
  key: 'php',
  label: 'PHP',
  install: 'composer require standard-webhooks/standard-webhooks',
  file: 'receiver.php',
  code: `<?php
require 'vendor/autoload.php';

use StandardWebhooks\\Exception\\WebhookVerificationException;
use StandardWebhooks\\Webhook;

$webhook = new Webhook(getenv('HOMECHEF_WEBHOOK_SECRET')); // whsec_…
$body = file_get_contents('php://input');
$headers = [
    'webhook-id' => $_SERVER['HTTP_WEBHOOK_ID'] ?? '',
    'webhook-timestamp' => $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '',
    'webhook-signature' => $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '',
];

try {
    // Throws unless the headers fit the body.
    $event = $webhook->verify($body, $headers);
} catch (WebhookVerificationException $exception) {
    http_response_code(401);
    exit;
}

error_log($event['event']);
http_response_code(204);
`,
};
