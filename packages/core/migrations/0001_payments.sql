CREATE TABLE `sandbox_callbacks` (
	`id` bigint unsigned AUTO_INCREMENT NOT NULL,
	`body` text NOT NULL,
	`send_at` datetime(3),
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `sandbox_callbacks_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `sandbox_captures` (
	`ref` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`amount_cents` bigint unsigned NOT NULL,
	`currency` char(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`refund_asked_at` datetime(3),
	`refunded_at` datetime(3),
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `sandbox_captures_ref` PRIMARY KEY(`ref`)
);
--> statement-breakpoint
CREATE TABLE `sandbox_payments` (
	`ref` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`payment_id` bigint unsigned NOT NULL,
	`amount_cents` bigint unsigned NOT NULL,
	`currency` char(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`return_url` varchar(512) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`pay_before` datetime(3) NOT NULL,
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `sandbox_payments_ref` PRIMARY KEY(`ref`),
	CONSTRAINT `sandbox_payments_payment_id_unique` UNIQUE(`payment_id`)
);
--> statement-breakpoint
ALTER TABLE `payments` MODIFY COLUMN `provider_ref` varchar(64) CHARACTER SET ascii COLLATE ascii_bin;--> statement-breakpoint
ALTER TABLE `payments` ADD `payment_url` varchar(512) CHARACTER SET ascii COLLATE ascii_bin;--> statement-breakpoint
ALTER TABLE `payments` ADD `captured_cents` bigint unsigned;--> statement-breakpoint
ALTER TABLE `payments` ADD `captured_currency` char(3) CHARACTER SET ascii COLLATE ascii_bin;--> statement-breakpoint
ALTER TABLE `payments` ADD `cause` varchar(32) CHARACTER SET ascii COLLATE ascii_bin;--> statement-breakpoint
CREATE INDEX `sandbox_callbacks_to_send` ON `sandbox_callbacks` (`send_at`);--> statement-breakpoint
CREATE INDEX `payments_by_state` ON `payments` (`state`,`id`);