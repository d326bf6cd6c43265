CREATE TABLE `audit_log` (
	`id` bigint unsigned AUTO_INCREMENT NOT NULL,
	`actor_id` int unsigned,
	`action` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`subject` varchar(120) NOT NULL,
	`details` json,
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `audit_log_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `orders` (
	`id` char(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`sale_id` int unsigned NOT NULL,
	`user_id` int unsigned NOT NULL,
	`quantity` smallint unsigned NOT NULL,
	`unit_price_cents` int unsigned NOT NULL,
	`amount_cents` bigint unsigned NOT NULL,
	`currency` char(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`state` enum('awaiting_payment','paid','cancelled','expired','rejected') NOT NULL,
	`live` tinyint,
	`return_due` tinyint,
	`pay_before` datetime(3),
	`reserved_at` datetime(3) NOT NULL,
	`placed_at` datetime(3) NOT NULL,
	`paid_at` datetime(3),
	`ended_at` datetime(3),
	`reason` varchar(32) CHARACTER SET ascii COLLATE ascii_bin,
	CONSTRAINT `orders_id` PRIMARY KEY(`id`),
	CONSTRAINT `one_live_order_per_user_and_sale` UNIQUE(`sale_id`,`user_id`,`live`)
);
--> statement-breakpoint
CREATE TABLE `payments` (
	`id` bigint unsigned AUTO_INCREMENT NOT NULL,
	`order_id` char(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`provider` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`provider_ref` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`amount_cents` bigint unsigned NOT NULL,
	`currency` char(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`state` enum('started','succeeded','failed','refund_due','refunded') NOT NULL,
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `payments_id` PRIMARY KEY(`id`),
	CONSTRAINT `one_payment_per_provider_ref` UNIQUE(`provider_ref`)
);
--> statement-breakpoint
CREATE TABLE `products` (
	`id` int unsigned AUTO_INCREMENT NOT NULL,
	`title` varchar(120) NOT NULL,
	`description` text NOT NULL,
	`image_path` varchar(255) NOT NULL,
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `products_id` PRIMARY KEY(`id`)
);
--> statement-breakpoint
CREATE TABLE `sales` (
	`id` int unsigned AUTO_INCREMENT NOT NULL,
	`product_id` int unsigned NOT NULL,
	`price_cents` int unsigned NOT NULL,
	`list_price_cents` int unsigned NOT NULL,
	`currency` char(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`quota` int unsigned NOT NULL,
	`units_sold` int unsigned NOT NULL DEFAULT 0,
	`units_per_user` smallint unsigned NOT NULL DEFAULT 1,
	`opens_at` datetime(3) NOT NULL,
	`closes_at` datetime(3) NOT NULL,
	`payment_window_seconds` int unsigned NOT NULL,
	`state` enum('scheduled','paused','closed') NOT NULL DEFAULT 'scheduled',
	`revision` int unsigned NOT NULL DEFAULT 1,
	`stock_epoch` int unsigned NOT NULL DEFAULT 0,
	`tokens_per_unit` smallint unsigned NOT NULL DEFAULT 20,
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `sales_id` PRIMARY KEY(`id`),
	CONSTRAINT `never_more_sold_than_quota` CHECK(`units_sold` <= `quota`)
);
--> statement-breakpoint
CREATE TABLE `users` (
	`id` int unsigned AUTO_INCREMENT NOT NULL,
	`phone` varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`nickname` varchar(40) NOT NULL,
	`password_hash` varchar(160) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`role` enum('shopper','operator') NOT NULL DEFAULT 'shopper',
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `users_id` PRIMARY KEY(`id`),
	CONSTRAINT `one_account_per_phone` UNIQUE(`phone`)
);
--> statement-breakpoint
CREATE INDEX `audit_log_by_time` ON `audit_log` (`created_at`);--> statement-breakpoint
CREATE INDEX `orders_of_user` ON `orders` (`user_id`,`placed_at`,`id`);--> statement-breakpoint
CREATE INDEX `orders_to_expire` ON `orders` (`state`,`pay_before`);--> statement-breakpoint
CREATE INDEX `orders_to_return` ON `orders` (`return_due`);--> statement-breakpoint
CREATE INDEX `payments_of_order` ON `payments` (`order_id`);--> statement-breakpoint
CREATE INDEX `sales_by_closing` ON `sales` (`closes_at`);