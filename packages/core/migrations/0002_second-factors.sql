CREATE TABLE `recovery_codes` (
	`id` int unsigned AUTO_INCREMENT NOT NULL,
	`user_id` int unsigned NOT NULL,
	`code_hash` char(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`used_at` datetime(3),
	CONSTRAINT `recovery_codes_id` PRIMARY KEY(`id`),
	CONSTRAINT `one_row_per_recovery_code` UNIQUE(`user_id`,`code_hash`)
);
--> statement-breakpoint
CREATE TABLE `second_factors` (
	`user_id` int unsigned NOT NULL,
	`sealed_secret` varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	`confirmed_at` datetime(3),
	`last_step` int unsigned NOT NULL DEFAULT 0,
	`wrong_tries` smallint unsigned NOT NULL DEFAULT 0,
	`tries_since` datetime(3),
	`created_at` datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	CONSTRAINT `second_factors_user_id` PRIMARY KEY(`user_id`)
);
--> statement-breakpoint
CREATE INDEX `audit_log_by_subject` ON `audit_log` (`subject`,`id`);