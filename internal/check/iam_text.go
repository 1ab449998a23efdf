package check

var fixEnableRotationAccess = Remediation{
	Text: "Give a role of administrators kms:EnableKeyRotation on the key, by an IAM policy if the key policy has the statement for the " +
		"account, and by the key policy if not.",
	Console: "IAM, Roles, the role, Add permissions, Create inline policy: service KMS, actions EnableKeyRotation, GetKeyRotationStatus and " +
		"DescribeKey, resource the key's ARN.",
	CLI: `aws iam put-role-policy --role-name key-admin --policy-name enable-rotation --policy-document '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["kms:EnableKeyRotation", "kms:GetKeyRotationStatus", "kms:DescribeKey"], "Resource": "arn:aws:kms:<region>:111122223333:key/<key-id>"}]}'`,
	CloudFormation: `RotationPolicy:
  Type: AWS::IAM::RolePolicy
  Properties:
    RoleName: key-admin
    PolicyName: enable-rotation
    PolicyDocument:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Action:
            - kms:EnableKeyRotation
            - kms:GetKeyRotationStatus
            - kms:DescribeKey
          Resource: !GetAtt Key.Arn
`,
	Terraform: `resource "aws_iam_role_policy" "rotation" {
  name = "enable-rotation"
  role = "key-admin"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["kms:EnableKeyRotation", "kms:GetKeyRotationStatus", "kms:DescribeKey"]
      Resource = aws_kms_key.key.arn
    }]
  })
}
`,
	URL: developerGuide + "rotating-keys-enable.html",
}

var fixRotationEvents = Remediation{
	Text: "Look for the event in a trail: the event history of CloudTrail holds 90 days of one region. If it is missing there too, ask AWS " +
		"Support; and make a trail for management events of all regions, so that the evidence outlives the history.",
	Console: "CloudTrail, Event history, Event name RotateKey; then Trails, Create trail, with management events of all regions.",
	CLI: `aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=RotateKey --region <region>
aws cloudtrail create-trail --name management --s3-bucket-name <bucket> --is-multi-region-trail
aws cloudtrail start-logging --name management`,
	CloudFormation: `Trail:
  Type: AWS::CloudTrail::Trail
  Properties:
    S3BucketName: !Ref TrailBucket # its policy has to let CloudTrail write
    IsMultiRegionTrail: true
    IncludeGlobalServiceEvents: true
    IsLogging: true
`,
	Terraform: `resource "aws_cloudtrail" "management" {
  name                  = "management"
  s3_bucket_name        = aws_s3_bucket.trail.id # its policy has to let CloudTrail write
  is_multi_region_trail = true
}
`,
	URL: developerGuide + "ct-rotatekey.html",
}
